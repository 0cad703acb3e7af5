"""The program of an update for arrays that nobody has made: what is known of a step before the first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np

from burnish.llm.batch import TokenBatch
from burnish.llm.objective import as_trained
from burnish.llm.sharding import batch_sharding, lying, replicated
from burnish.llm.train_state import StateLayout
from burnish.llm.train_step import ComputeCopies, GradientProgram, compiled_step, hyper_names


def lowered_step(program: GradientProgram, batch: TokenBatch) -> jax.stages.Lowered:
    """Return the program of an update on batches like this one, as it is handed to the compiler."""
    layout = program.layout
    state = jax.tree.map(lying, layout.abstract_state(), layout.state_shardings())
    everywhere = replicated(layout.mesh)
    number = lying(jax.ShapeDtypeStruct((), np.float32), everywhere)
    given = dict.fromkeys(hyper_names(layout), jax.ShapeDtypeStruct((), np.float32))
    trained = as_trained(batch, program.objective, (0, 0, 0, 0, 0))
    rows = jax.tree.map(
        lambda leaf: lying(leaf, batch_sharding(layout.mesh)), replace(batch, scalars={}, noise_words=None)
    )
    placed = replace(
        rows,
        scalars=dict.fromkeys(trained.scalars, number),
        noise_words=lying(jax.ShapeDtypeStruct((5,), np.uint32), everywhere),
    )
    step: Any = compiled_step(program)
    return step.lower(state, _weights(layout), placed, given)


def _weights(layout: StateLayout) -> ComputeCopies:
    """Return the likeness of the parameters that are computed with."""
    trainable, frozen = layout.param_shardings()
    parts: Any = layout.parts_in(layout.compute_dtype)
    return ComputeCopies(jax.tree.map(lying, parts[0], trainable), jax.tree.map(lying, parts[1], frozen))

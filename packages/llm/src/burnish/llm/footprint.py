"""What training would take, said before anything is allocated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from burnish.llm.families.protocol import CausalLM
from burnish.llm.jax_training import layout_of
from burnish.llm.micro_batches import check_rows, row_shards
from burnish.llm.partition import Partition
from burnish.llm.train_state import StateLayout
from burnish.llm.training import TrainingContext


def training_plan(
    context: TrainingContext,
    *,
    model: CausalLM,
    partition: Partition,
    micro_batch_rows: int | str,
    num_rows: int,
    length: int,
    num_columns: int,
) -> Mapping[str, int | float | str]:
    """Return the arithmetic of one update's batch and the memory that it and the state take, in words.

    `model` is the one whose parameters are trained.
    """
    layout = layout_of(context, model, partition)
    shards = row_shards(context.mesh)
    micro = check_rows(num_rows, micro_batch_rows, shards)
    footprint = training_footprint(layout, num_rows=num_rows, length=length, num_columns=num_columns)
    state, weights, batch = (footprint.pop(f"{name}_bytes") for name in ("state", "weight", "batch"))
    return {
        "devices": context.mesh.size,
        "optimizer steps": context.total_steps,
        "rows per update": f"{num_rows} = {num_rows // micro} x {micro // shards} x {shards} "
        "(micro-batches x rows x devices)",
        "tokens per row": length,
        "tokens per update": num_rows * length,
        **footprint,
        "memory of parameters and optimizer": human_bytes(state),
        f"memory of the weights in {layout.compute_dtype}": human_bytes(weights),
        "memory of an update's batch": human_bytes(batch),
    }


def training_footprint(
    layout: StateLayout, *, num_rows: int, length: int, num_columns: int = 1
) -> dict[str, int]:
    """Return the parameter counts and the bytes of state, weights and a batch."""
    state, (_, frozen) = layout.abstract_state(), layout.abstract_params()
    weights = (jax.eval_shape(layout.compute_copy, state["params"]), frozen)
    sizes = {"parameters": _num_elements(weights)}
    if jax.tree.leaves(frozen):
        sizes["trained parameters"] = _num_elements(state["params"])
    return {
        **sizes,
        "state_bytes": _num_bytes(state),
        "weight_bytes": _num_bytes(weights),
        "batch_bytes": num_rows * length * 4 * (_INTEGER_COLUMNS + num_columns),
    }


_INTEGER_COLUMNS = 5
"""Tokens, positions, segments, sequences and samples of a batch."""


def human_bytes(num_bytes: int) -> str:
    """Return a number of bytes in the largest binary unit that it fills, to a tenth."""
    unit, name = next((each for each in _UNITS if num_bytes >= each[0]), _UNITS[-1])
    return f"{num_bytes / unit:,.1f} {name}"


_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def _num_elements(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def _num_bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))

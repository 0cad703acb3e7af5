"""Muon for the matrices of the layers, AdamW for everything else."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array
from optax.contrib import MuonDimensionNumbers, scale_by_muon

from burnish.llm.families.protocol import CausalLM, MatrixDims, Path
from burnish.llm.optimizer import TracedOptimizer
from burnish.llm.optimizers.matrices import decay_mask, hidden_matrices, path_of
from burnish.llm.optimizers.schedules import Schedule

_RMS = 0.2
"""Of an update in units of the learning rate, about that of AdamW: one learning rate suits both."""


def muon(
    schedule: Schedule,
    model: CausalLM,
    *,
    momentum: float,
    nesterov: bool,
    newton_schulz_steps: int,
    b1: float,
    b2: float,
    eps: float,
    weight_decay: float,
) -> TracedOptimizer:
    """Return Muon (https://kellerjordan.github.io/posts/muon), scaled as in https://arxiv.org/abs/2502.16982.

    The momentum of each layer's and each expert's own matrix is made orthogonal, heads side by side, and
    multiplied by 0.2 sqrt(max(inputs, outputs)). Embedding, head and vectors go to AdamW. Learning rate,
    momentum and betas can be moved.
    """
    matrices, mask = hidden_matrices(model), decay_mask(model)

    def hyper(num_updates: Any) -> Mapping[str, Any]:
        moved = {"momentum": momentum, "b1": b1, "b2": b2}
        return {"learning_rate": schedule(num_updates), **jax.tree.map(jnp.float32, moved)}

    def names(params: Any) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda keys, _: "muon" if path_of(keys) in matrices else "adamw", params
        )

    def transformation(hyper: Mapping[str, Any]) -> optax.GradientTransformation:
        rate, betas = hyper["learning_rate"], (hyper["b1"], hyper["b2"])
        orthogonal = optax.chain(
            _orthogonal(matrices, hyper["momentum"], nesterov=nesterov, steps=newton_schulz_steps),
            optax.add_decayed_weights(weight_decay),
            optax.scale_by_learning_rate(rate),
        )
        rest = optax.adamw(rate, *betas, eps=eps, weight_decay=weight_decay, mask=mask)
        return optax.partition({"muon": orthogonal, "adamw": rest}, names)

    return TracedOptimizer(hyper, transformation)


def _orthogonal(
    matrices: Mapping[Path, MatrixDims], momentum: Any, *, nesterov: bool, steps: int
) -> optax.GradientTransformation:
    """Return what makes the momentum of each matrix orthogonal, at the root mean square of `_RMS`."""

    def dims(params: Any) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda keys, _: MuonDimensionNumbers(*matrices[path_of(keys)]), params
        )

    def scaled(keys: tuple[Any, ...], update: Array) -> Array:
        sides = [math.prod(update.shape[dim] for dim in side) for side in matrices[path_of(keys)]]
        return update * (_RMS * math.sqrt(max(sides)))

    return optax.chain(
        scale_by_muon(ns_steps=steps, beta=momentum, nesterov=nesterov, weight_dimension_numbers=dims),
        optax.stateless(lambda updates, _: jax.tree_util.tree_map_with_path(scaled, updates)),
    )

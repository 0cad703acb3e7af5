"""Adafactor, whose second moments of a matrix are one vector per side."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from burnish.llm.families.protocol import CausalLM
from burnish.llm.optimizer import TracedOptimizer
from burnish.llm.optimizers.matrices import as_matrices, decay_mask, dims_of_one, path_of
from burnish.llm.optimizers.schedules import Schedule

_SMALLEST_SCALE = 1e-3
"""Of a parameter, as in the paper: one that begins at 0 moves too."""


def adafactor(
    schedule: Schedule,
    model: CausalLM,
    *,
    decay_rate: float,
    eps: float,
    clip_threshold: float,
    scale_parameter: bool,
    min_dim_size_to_factor: int,
    weight_decay: float,
) -> TracedOptimizer:
    """Return Adafactor (https://arxiv.org/abs/1804.04235); its learning rate can be moved.

    Second moments are factored, and root mean squares taken, of each layer's and each expert's own matrix,
    heads side by side.
    """

    def hyper(num_updates: Any) -> Mapping[str, Any]:
        return {"learning_rate": schedule(num_updates)}

    def clipped(update: Array, _: Any, rms: Callable[[Array], Array]) -> Array:
        return update / jnp.maximum(1.0, rms(update) / clip_threshold)

    def scaled(update: Array, param: Array, rms: Callable[[Array], Array]) -> Array:
        return update * jnp.maximum(rms(param), _SMALLEST_SCALE)

    def transformation(hyper: Mapping[str, Any]) -> optax.GradientTransformation:
        factored = optax.scale_by_factored_rms(
            decay_rate=decay_rate, min_dim_size_to_factor=min_dim_size_to_factor, epsilon=eps
        )
        return optax.chain(
            as_matrices(factored, model),
            _of_each(clipped, model),
            *([_of_each(scaled, model)] if scale_parameter else []),
            optax.add_decayed_weights(weight_decay, decay_mask(model)),
            optax.scale_by_learning_rate(hyper["learning_rate"]),
        )

    return TracedOptimizer(hyper, transformation)


def _of_each(
    change: Callable[[Array, Any, Callable[[Array], Array]], Array], model: CausalLM
) -> optax.GradientTransformation:
    """Apply (update, parameter, root mean square of each matrix or vector) to every leaf."""

    def of_leaf(keys: tuple[Any, ...], update: Array, param: Any) -> Array:
        dims = dims_of_one(model, path_of(keys), update.ndim)

        def rms(leaf: Float[Array, "..."]) -> Float[Array, "..."]:
            return jnp.sqrt(jnp.mean(jnp.square(leaf), axis=dims, keepdims=True))

        return change(update, param, rms)

    return optax.stateless(lambda updates, params: jax.tree_util.tree_map_with_path(of_leaf, updates, params))

"""What the routers of a model with experts say of its tokens, layer by layer and summed."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32, Int


class Routing(NamedTuple):
    """What the router of one layer says of each token."""

    probabilities: Float32[Array, "b t e"]
    """Of all experts, before any is chosen."""
    chosen: Int[Array, "b t k"]


class RouterSums(NamedTuple):
    """What routers say of the tokens of a batch together; of a model, with the layers in front."""

    probabilities: Float32[Array, "*l e"]
    """Summed over tokens."""
    counts: Float32[Array, "*l e"]
    """Tokens that take an expert."""


def summed(routing: Routing, is_token: Bool[Array, "b t"]) -> RouterSums:
    """Return the sums over tokens; padding is none."""
    weights = is_token.astype(jnp.float32)[..., None]
    taken = jax.nn.one_hot(routing.chosen, routing.probabilities.shape[-1], dtype=jnp.float32)
    return RouterSums(
        probabilities=jnp.sum(routing.probabilities * weights, axis=(0, 1)),
        counts=jnp.sum(jnp.sum(taken, axis=2) * weights, axis=(0, 1)),
    )

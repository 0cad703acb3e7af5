"""A matrix with an update of low rank beside it, which takes its place in a tree of parameters.

`x (W + s A B)` is computed as `x W + s (x A) B`: a gradient is formed of A and B, and none of the size of W.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from burnish.llm.families import broadcast


@partial(
    jax.tree_util.register_dataclass, data_fields=("weight", "a", "b", "magnitude"), meta_fields=("scale",)
)
@dataclass(frozen=True, kw_only=True)
class Adapted:
    """`weight` and its update `scale * a b`; what counts layers and experts comes first in all of them."""

    weight: Array
    """`[... inputs outputs]`, frozen."""
    a: Array
    """`[... inputs r]`"""
    b: Array
    """`[... r outputs]`"""
    magnitude: Array | None
    """`[... outputs]`, norms of the columns (DoRA, https://arxiv.org/abs/2402.09353); None leaves them."""
    scale: float

    def __getitem__(self, key: object) -> Adapted:
        """Return itself: a variable of flax gives its value, `variable[...]`, by way of this."""
        assert key is ..., "an adapted matrix is multiplied as a whole"
        return self


def product(
    values: Float[Array, ...],
    weight: Adapted,
    multiply: Callable[[Array, Array], Array],
    of_rows: Callable[[Array], Array] | None = None,
) -> Float[Array, ...]:
    """Return the product of values with an adapted matrix; `multiply` is that with a matrix as it is.

    Where each row has a matrix of its own, `of_rows` takes a number of every column to those of the rows.
    """
    update = multiply(multiply(values, weight.a) * weight.scale, weight.b)
    made = multiply(values, weight.weight) + update
    if weight.magnitude is None:
        return made
    factors = _factors(weight, weight.magnitude)
    return broadcast.scale(made, factors if of_rows is None else of_rows(factors))


def updated(
    weight: Float[Array, "... i o"], a: Float[Array, "... i r"], b: Float[Array, "... r o"], scale: float
) -> Float32[Array, "... i o"]:
    """Return `weight + scale * a b` in fp32."""
    left, right = a.astype(jnp.float32), b.astype(jnp.float32)
    return weight.astype(jnp.float32) + scale * jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)


def column_norms(matrices: Float[Array, "... i o"]) -> Float32[Array, "... o"]:
    """Return the norm of each column, in fp32."""
    exact = matrices.astype(jnp.float32)
    return jnp.sqrt(jnp.sum(exact * exact, axis=-2))


def factors_of(
    matrices: Float32[Array, "... i o"], magnitudes: Float[Array, "... o"]
) -> Float32[Array, "... o"]:
    """Return what gives columns these norms; those they have are constants to the gradient, as in DoRA."""
    return magnitudes.astype(jnp.float32) / jax.lax.stop_gradient(column_norms(matrices))


def _factors(weight: Adapted, magnitude: Float[Array, ...]) -> Float32[Array, ...]:
    """Return what the columns of the updated matrix are multiplied with."""
    num_inputs = weight.weight.ndim - magnitude.ndim
    stacked = weight.a.shape[: weight.a.ndim - num_inputs - 1]
    rank, num_outputs = weight.a.shape[-1], math.prod(magnitude.shape[len(stacked) :])
    # Its norms are constants to the gradient, so no part of the matrix is.
    matrices, a, b = jax.lax.stop_gradient((weight.weight, weight.a, weight.b))
    made = updated(
        matrices.reshape(*stacked, -1, num_outputs),
        a.reshape(*stacked, -1, rank),
        b.reshape(*stacked, rank, num_outputs),
        weight.scale,
    )
    return factors_of(made, magnitude.reshape(*stacked, num_outputs)).reshape(magnitude.shape)

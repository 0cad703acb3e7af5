"""Leaves as stacks of matrices with two dims each, and back."""

import math

import jax.numpy as jnp
from jaxtyping import Array

from burnish.llm.families.protocol import MatrixDims


def flat(leaf: Array, dims: MatrixDims | None) -> Array:
    """Return a leaf with what counts its matrices first and two dims for each; a vector as one dim."""
    if dims is None:
        return leaf.reshape(-1)
    sides = [math.prod(leaf.shape[dim] for dim in side) for side in dims]
    ordered = jnp.transpose(leaf, _order(leaf.ndim, dims))
    return ordered.reshape(*ordered.shape[: leaf.ndim - sum(map(len, dims))], *sides)


def folded(leaf: Array, shape: tuple[int, ...], dims: MatrixDims | None) -> Array:
    """Return what `flat` has made flat in its own shape."""
    if dims is None:
        return leaf.reshape(shape)
    order = _order(len(shape), dims)
    return jnp.transpose(
        leaf.reshape([shape[dim] for dim in order]), [order.index(dim) for dim in range(len(shape))]
    )


def _order(num_dims: int, dims: MatrixDims) -> tuple[int, ...]:
    of_one = (*dims.inputs, *dims.outputs)
    return (*(dim for dim in range(num_dims) if dim not in of_one), *of_one)

"""Products of sorted rows with a matrix per group, in which each row is computed once.

`jax.lax.ragged_dot` does it where the platform has a kernel. On a CPU XLA computes every group for every row:
there the rows are laid in blocks of one group each, and each block is one product. The backward pass keeps
the arguments alone: what a choice of platforms is differentiated through would be kept for every layer.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from burnish.llm.precision import exact_for

BLOCK = 32
"""Rows of a block on a CPU: more waste at the ends of groups, fewer read a matrix too often."""


@jax.custom_vjp
def grouped_matmul(
    rows: Float[Array, "m d"], weights: Float[Array, "e d f"], sizes: Int[Array, " e"]
) -> Float[Array, "m f"]:
    """Return row i times the matrix of its group: the first `sizes[0]` rows are of group 0, and so on.

    `sizes` sum to m.
    """
    return lax.platform_dependent(rows, weights, sizes, cpu=_in_blocks, default=_ragged)


def _forward(rows: Array, weights: Array, sizes: Array) -> tuple[Array, Any]:
    return grouped_matmul(rows, weights, sizes), (rows, weights, sizes)


def _backward(kept: Any, cotangent: Array) -> tuple[Array, Array, None]:
    pulled = lax.platform_dependent(
        *kept, cotangent, cpu=partial(_pulled, _in_blocks), default=partial(_pulled, _ragged)
    )
    return (*pulled, None)


def _pulled(product: Any, rows: Array, weights: Array, sizes: Array, cotangent: Array) -> Any:
    _, pull = jax.vjp(lambda *both: product(*both, sizes), rows, weights)
    return pull(cotangent)


grouped_matmul.defvjp(_forward, _backward)


def _ragged(rows: Array, weights: Array, sizes: Array) -> Array:
    return lax.ragged_dot(rows, weights, sizes, precision=exact_for(rows))


def _in_blocks(rows: Array, weights: Array, sizes: Array) -> Array:
    num_rows, num_groups = rows.shape[0], weights.shape[0]
    num_blocks = -(-num_rows // BLOCK) + num_groups
    ends, counts = jnp.cumsum(sizes), -(-sizes // BLOCK)
    block_ends = jnp.cumsum(counts)
    group = jnp.searchsorted(ends, jnp.arange(num_rows), side="right")
    place = (block_ends - counts)[group] * BLOCK + jnp.arange(num_rows) - (ends - sizes)[group]
    group_of_block = jnp.searchsorted(block_ends, jnp.arange(num_blocks), side="right")
    padded = jnp.zeros((num_blocks * BLOCK, rows.shape[1]), rows.dtype).at[place].set(rows)
    made = _blocks(padded.reshape(num_blocks, BLOCK, -1), weights, group_of_block)
    return made.reshape(num_blocks * BLOCK, -1)[place]


@jax.custom_vjp
def _blocks(
    rows: Float[Array, "b r d"], weights: Float[Array, "e d f"], group: Int[Array, " b"]
) -> Float[Array, "b r f"]:
    """Return each block times its group's matrix; one whose group is past the end is empty, and skipped."""

    def product(_: None, block: tuple[Array, Array]) -> tuple[None, Array]:
        mine, index = block
        return None, _unless_empty(index, weights, lambda: _dot("rd,df->rf", mine, weights[index]))

    return lax.scan(product, None, (rows, group))[1].astype(rows.dtype)


def _unless_empty(index: Array, weights: Array, compute: Any) -> Array:
    empty = jax.eval_shape(compute)
    return lax.cond(index < weights.shape[0], compute, lambda: jnp.zeros(empty.shape, empty.dtype))


def _dot(equation: str, left: Array, right: Array) -> Array:
    return jnp.einsum(equation, left, right, precision=exact_for(left), preferred_element_type=jnp.float32)


def _blocks_forward(rows: Array, weights: Array, group: Array) -> tuple[Array, Any]:
    return _blocks(rows, weights, group), (rows, weights, group)


def _blocks_backward(kept: Any, cotangent: Array) -> tuple[Array, Array, None]:
    """Add each block's share to the gradient of its matrix, in place and in fp32."""
    rows, weights, group = kept

    def pull(total: Array, block: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        mine, of_made, index = block
        of_rows = _unless_empty(index, weights, lambda: _dot("rf,df->rd", of_made, weights[index]))
        share = _unless_empty(index, weights, lambda: _dot("rd,rf->df", mine, of_made))
        return total.at[index].add(share, mode="drop"), of_rows

    zeros = jnp.zeros(weights.shape, jnp.float32)
    of_weights, of_rows = lax.scan(pull, zeros, (rows, cotangent, group))
    return of_rows.astype(rows.dtype), of_weights.astype(weights.dtype), None


_blocks.defvjp(_blocks_forward, _blocks_backward)

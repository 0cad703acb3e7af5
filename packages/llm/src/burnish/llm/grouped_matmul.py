"""Products of sorted rows with a matrix per group, in which each row is computed once.

On a TPU `jax.lax.ragged_dot` has a kernel for it. Elsewhere XLA computes every group for every row, as the
programs that jax 0.10.2 compiles show: there the rows are laid in blocks of one group each, and each block is
one product. On a CPU blocks are small and computed one by one, on a GPU large and several at once. The
backward pass keeps the arguments alone: what a choice of platforms is differentiated through would be kept
for every layer.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Float32, Int

from burnish.llm.precision import exact_for


class Blocks(NamedTuple):
    """How rows are cut: more to a block waste more at the ends of groups, fewer read a matrix too often."""

    rows: int
    gathered_bytes: int = 0
    """What the matrices of the blocks that are computed together may take in fp32; at least one block is."""

    least_rows: int | None = None
    """Rows of a block where groups have few, as in decoding; None is `rows`."""

    def of(self, num_rows: int, num_groups: int) -> int:
        """Return the rows of a block: a power of two that a group of the mean size fills, within bounds."""
        mean = 2 ** math.ceil(math.log2(max(1, num_rows / num_groups)))
        return min(self.rows, max(self.least_rows or self.rows, mean))


ON_CPU, ON_GPU = Blocks(32), Blocks(128, 2**28, least_rows=16)


@jax.custom_vjp
def grouped_matmul(
    rows: Float[Array, "m d"], weights: Float[Array, "e d f"], sizes: Int[Array, " e"]
) -> Float[Array, "m f"]:
    """Return row i times the matrix of its group: the first `sizes[0]` rows are of group 0, and so on.

    `sizes` sum to m.
    """
    return lax.platform_dependent(rows, weights, sizes, **_PRODUCTS)


def _forward(rows: Array, weights: Array, sizes: Array) -> tuple[Array, Any]:
    return grouped_matmul(rows, weights, sizes), (rows, weights, sizes)


def _backward(kept: Any, cotangent: Array) -> tuple[Array, Array, None]:
    pulls = {platform: partial(_pulled, product) for platform, product in _PRODUCTS.items()}
    return (*lax.platform_dependent(*kept, cotangent, **pulls), None)


def _pulled(product: Any, rows: Array, weights: Array, sizes: Array, cotangent: Array) -> Any:
    _, pull = jax.vjp(lambda *both: product(*both, sizes), rows, weights)
    return pull(cotangent)


grouped_matmul.defvjp(_forward, _backward)


def _ragged(rows: Array, weights: Array, sizes: Array) -> Array:
    return lax.ragged_dot(rows, weights, sizes, precision=exact_for(rows))


def in_blocks(
    rows: Float[Array, "m d"], weights: Float[Array, "e d f"], sizes: Int[Array, " e"], blocks: Blocks
) -> Float[Array, "m f"]:
    """Return what `grouped_matmul` does, by blocks."""
    num_rows, (num_groups, *matrix) = rows.shape[0], weights.shape
    block = blocks.of(num_rows, num_groups)
    num_blocks = -(-num_rows // block) + min(num_groups, num_rows)
    at_once = min(num_blocks, max(1, blocks.gathered_bytes // (4 * math.prod(matrix))))
    num_blocks += -num_blocks % at_once
    ends, counts = jnp.cumsum(sizes), -(-sizes // block)
    block_ends = jnp.cumsum(counts)
    group = jnp.searchsorted(ends, jnp.arange(num_rows), side="right")
    place = (block_ends - counts)[group] * block + jnp.arange(num_rows) - (ends - sizes)[group]
    group_of_block = jnp.searchsorted(block_ends, jnp.arange(num_blocks), side="right")
    padded = jnp.zeros((num_blocks * block, rows.shape[1]), rows.dtype).at[place].set(rows)
    cut = padded.reshape(-1, at_once, block, matrix[0])
    return _blocks(cut, weights, group_of_block.reshape(-1, at_once)).reshape(num_blocks * block, -1)[place]


@jax.custom_vjp
def _blocks(
    rows: Float[Array, "s c r d"], weights: Float[Array, "e d f"], group: Int[Array, "s c"]
) -> Float[Array, "s c r f"]:
    """Return each block times its group's matrix, c at once; one whose group is past the end is empty."""

    def product(_: None, blocks: tuple[Array, Array]) -> tuple[None, Array]:
        mine, indices = blocks
        return None, _unless_empty(
            indices, weights, lambda: _dot("rd,df->rf", mine, _taken(weights, indices))
        )

    return lax.scan(product, None, (rows, group))[1].astype(rows.dtype)


def _unless_empty(indices: Array, weights: Array, compute: Any) -> Array:
    """Return what is computed of blocks, and zeros where a single one is empty: so is all of its rows."""
    if len(indices) > 1:
        return compute()
    empty = jax.eval_shape(compute)
    return lax.cond(indices[0] < weights.shape[0], compute, lambda: jnp.zeros(empty.shape, empty.dtype))


def _taken(weights: Array, indices: Int[Array, " c"]) -> Array:
    """Return the matrices at the indices; a gather of one would take longer than a slice."""
    return weights[indices] if len(indices) > 1 else weights[indices[0]][None]


def _added(total: Array, shares: Array, indices: Int[Array, " c"]) -> Array:
    """Return the sums with the shares of blocks in them; what is of no group is dropped."""
    if len(indices) > 1:
        return total.at[indices].add(shares, mode="drop")
    return total.at[indices[0]].add(shares[0], mode="drop")


def _dot(equation: str, left: Float[Array, "c ..."], right: Float[Array, "c ..."]) -> Float32[Array, "c ..."]:
    """Return the products of blocks, each with its own."""
    product = partial(jnp.einsum, equation, precision=exact_for(left), preferred_element_type=jnp.float32)
    return jax.vmap(product)(left, right) if len(left) > 1 else product(left[0], right[0])[None]


def _blocks_forward(rows: Array, weights: Array, group: Array) -> tuple[Array, Any]:
    return _blocks(rows, weights, group), (rows, weights, group)


def _blocks_backward(kept: Any, cotangent: Array) -> tuple[Array, Array, None]:
    """Add each block's share to the gradient of its matrix, in place and in fp32."""
    rows, weights, group = kept

    def pull(total: Array, blocks: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        mine, of_made, indices = blocks
        matrices = lambda: _taken(weights, indices)  # noqa: E731
        of_rows = _unless_empty(indices, weights, lambda: _dot("rf,df->rd", of_made, matrices()))
        shares = _unless_empty(indices, weights, lambda: _dot("rd,rf->df", mine, of_made))
        return _added(total, shares, indices), of_rows

    zeros = jnp.zeros(weights.shape, jnp.float32)
    of_weights, of_rows = lax.scan(pull, zeros, (rows, cotangent, group))
    return of_rows.astype(rows.dtype), of_weights.astype(weights.dtype), None


_blocks.defvjp(_blocks_forward, _blocks_backward)

_PRODUCTS = {
    "cpu": partial(in_blocks, blocks=ON_CPU),
    "tpu": _ragged,
    "default": partial(in_blocks, blocks=ON_GPU),
}

"""Rows times the matrix of their group, against a product per group; values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.grouped_matmul import ON_CPU, ON_GPU, Blocks, grouped_matmul, in_blocks

WIDTH, OUT = 12, 20
BLOCKS = {
    "cpu": ON_CPU,
    "gpu": ON_GPU,
    "three at once": Blocks(8, 3 * 4 * WIDTH * OUT),
    "one row": Blocks(1, 5 * 4 * WIDTH * OUT),
    "by the mean": Blocks(32, 2 * 4 * WIDTH * OUT, least_rows=2),
}
SIZES = {"even": [16, 16, 16], "ragged": [1, 40, 7, 0, 22], "one has all": [0, 0, 70], "few": [0, 2, 0, 0, 1]}


def by_groups(rows, weights, sizes):
    ends = np.cumsum(sizes)
    parts = zip(ends - sizes, ends, weights, strict=True)
    return jnp.concatenate([rows[start:end] @ matrix for start, end, matrix in parts])


def outcome(product, sizes, dtype, seed=0):
    """Values and the gradients of rows and weights, in fp32."""
    rng = np.random.default_rng(seed)
    rows = jnp.asarray(rng.normal(size=(sum(sizes), WIDTH)), dtype)
    weights = jnp.asarray(rng.normal(size=(len(sizes), WIDTH, OUT)), dtype)
    made, pull = jax.vjp(product, rows, weights)
    found = (made, *pull(jnp.asarray(rng.normal(size=made.shape), dtype)))
    return [np.asarray(each, np.float32) for each in found]


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("blocks", BLOCKS.values(), ids=BLOCKS)
def test_blocks_give_what_a_product_per_group_gives(blocks, sizes):
    counts = jnp.asarray(sizes)
    found = outcome(lambda rows, weights: in_blocks(rows, weights, counts, blocks), sizes, jnp.float32)
    exact = outcome(lambda rows, weights: by_groups(rows, weights, np.array(sizes)), sizes, jnp.float32)
    for ours, theirs in zip(found, exact, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("blocks", BLOCKS.values(), ids=BLOCKS)
def test_twin_of_other_groups_gives_something_else(blocks):
    sizes, others = np.array([10, 20, 18]), jnp.asarray([11, 19, 18])
    found = outcome(lambda rows, weights: in_blocks(rows, weights, others, blocks), sizes, jnp.float32)
    exact = outcome(lambda rows, weights: by_groups(rows, weights, sizes), sizes, jnp.float32)
    for ours, theirs in zip(found, exact, strict=True):
        assert np.abs(ours - theirs).max() > 0.1


@pytest.mark.parametrize("blocks", BLOCKS.values(), ids=BLOCKS)
def test_gradients_of_matrices_are_summed_in_fp32(blocks):
    sizes = [4096, 0, 64]
    product = lambda rows, weights: in_blocks(rows, weights, jnp.asarray(sizes), blocks)  # noqa: E731
    exact = outcome(lambda rows, weights: by_groups(rows, weights, np.array(sizes)), sizes, jnp.float32)
    for ours, theirs in zip(outcome(product, sizes, jnp.bfloat16), exact, strict=True):
        assert np.linalg.norm(ours - theirs) < 0.01 * np.linalg.norm(theirs)


def test_platform_at_hand_is_served():
    sizes = jnp.asarray(SIZES["ragged"])
    found = outcome(lambda rows, weights: grouped_matmul(rows, weights, sizes), SIZES["ragged"], jnp.float32)
    exact = outcome(
        lambda rows, weights: in_blocks(rows, weights, sizes, ON_CPU), SIZES["ragged"], jnp.float32
    )
    for ours, theirs in zip(found, exact, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("num_rows", "num_groups", "rows"),
    [(1, 128, 16), (16, 128, 16), (2000, 64, 32), (2049, 64, 64), (10**6, 8, 128)],
)
def test_blocks_of_a_gpu_are_as_large_as_groups(num_rows, num_groups, rows):
    assert ON_GPU.of(num_rows, num_groups) == rows
    assert ON_CPU.of(num_rows, num_groups) == 32

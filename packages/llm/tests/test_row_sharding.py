"""What devices compute of their own rows alone: the numbers of one device, and a plain call elsewhere."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from burnish.llm.row_sharding import each_on_its_rows, on_mesh
from burnish.llm.sharding import batch_sharding, replicated

MESHES = [(2, 1, 1), (1, 4, 1), (1, 2, 2), (2, 2, 2), (8, 1, 1)]
"""Sizes of `dp`, `fsdp` and `tp`."""
WEIGHTS = {"matrix": np.linspace(-1, 1, 20, dtype=np.float32).reshape(4, 5), "bias": np.ones(5, np.float32)}


def inputs(num_rows=8):
    return np.random.default_rng(0).standard_normal((num_rows, 3, 4)).astype(np.float32)


def sorted_features(rows, matrix, bias):
    """Return products, and each row's largest ones, of rows none of which needs another."""
    made = jnp.tanh(jnp.matmul(rows, matrix) + bias[None, None])
    return made, {"largest": jax.lax.top_k(made, 2)[0]}


def centered(rows, matrix, bias):
    """The fault: every row needs all others."""
    return sorted_features(rows - jnp.mean(rows, axis=0, keepdims=True), matrix, bias)


def computed(function, devices):
    """Return what is made of the inputs, and the gradients of rows and weights."""

    def loss(rows, weights):
        made = each_on_its_rows(function, rows, weights["matrix"], weights["bias"])
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(made)), made

    def both(rows, weights):
        with on_mesh(devices):
            (_, made), gradients = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(rows, weights)
        return made, gradients

    placed = jax.device_put(inputs(), batch_sharding(devices)), jax.device_put(WEIGHTS, replicated(devices))
    return jax.tree.map(np.asarray, jax.jit(both)(*placed))


def assert_same(actual, expected):
    for ours, theirs in zip(*map(jax.tree.leaves, (actual, expected)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", MESHES, ids=str)
def test_values_and_gradients_on_devices_are_those_of_a_plain_call(mesh, shape):
    assert_same(computed(sorted_features, mesh(*shape)), computed(sorted_features, mesh(1, 1)))


def test_twin_rows_that_need_others_make_other_numbers(mesh):
    with pytest.raises(AssertionError):
        assert_same(computed(centered, mesh(1, 4)), computed(centered, mesh(1, 1)))


def rows_seen(context, num_rows=8, sharding=None):
    """Return the number of rows that the function is traced with."""
    seen = []

    def function(rows):
        seen.append(rows.shape[0])
        return rows

    def call(rows):
        with context:
            return each_on_its_rows(function, rows)

    rows = inputs(num_rows)
    jax.eval_shape(call, rows if sharding is None else jax.device_put(rows, sharding))
    return seen


@pytest.mark.fast
@pytest.mark.parametrize(("shape", "num_rows"), [((1, 4, 1), 2), ((2, 1, 2), 4), ((2, 2, 2), 2)], ids=str)
def test_each_device_is_given_the_rows_that_lie_on_it(mesh, shape, num_rows):
    assert rows_seen(on_mesh(mesh(*shape))) == [num_rows]


@pytest.mark.fast
def test_it_is_a_plain_call_without_a_mesh_or_rows_to_divide(mesh):
    assert rows_seen(contextlib.nullcontext()) == [8]
    assert rows_seen(on_mesh(mesh(1, 1, 2))) == [8]
    assert rows_seen(on_mesh(mesh(1, 4)), num_rows=6) == [6]


@pytest.mark.fast
def test_it_is_a_plain_call_where_rows_are_split_already(mesh):
    devices, seen = mesh(1, 4), []

    def function(rows):
        seen.append(rows.shape[0])
        return rows

    spread = jax.shard_map(
        lambda rows: each_on_its_rows(function, rows),
        mesh=devices,
        in_specs=batch_sharding(devices).spec,
        out_specs=batch_sharding(devices).spec,
    )
    np.testing.assert_array_equal(jax.jit(spread)(inputs(16)), inputs(16))
    assert set(seen) == {4}


@pytest.mark.fast
def test_it_is_a_plain_call_where_arrays_say_how_they_lie():
    explicit = jax.make_mesh((1, 4), ("dp", "fsdp"), axis_types=(AxisType.Explicit,) * 2)
    sharding = NamedSharding(explicit, PartitionSpec("fsdp"))
    assert rows_seen(on_mesh(explicit), sharding=sharding) == [8]

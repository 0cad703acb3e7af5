"""Both backends, by one set of tests: what goes in comes out, bit for bit, or an error names the leaf."""

import json
import weakref
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from burnish.platform.checkpoint import msgpack
from burnish.platform.checkpoint.msgpack import MsgpackBackend
from burnish.platform.checkpoint.orbax import OrbaxBackend
from burnish.platform.device.mesh import build_mesh
from burnish.platform.errors import CheckpointError

pytestmark = pytest.mark.fast

# Plain orbax warns that it restores onto the devices it was written from.
PLAIN = pytest.mark.filterwarnings("ignore:Sharding info not provided")


class Pair(NamedTuple):
    first: object
    second: object


@pytest.fixture(params=[MsgpackBackend, OrbaxBackend])
def backend(request):
    return request.param()


def _tree():
    generator = np.random.default_rng(0)
    return {
        "w": generator.standard_normal((3, 5)).astype(np.float32),
        "transposed": generator.standard_normal((4, 2)).astype(np.float32).T,
        "half": jnp.asarray(generator.standard_normal(7), jnp.bfloat16),
        "state": Pair((np.int32(7), np.zeros((0, 2), np.float32)), {"mask": np.array([True, False])}),
        "a/b": np.array(2.5),
    }


def _bits(tree):
    return [(np.asarray(leaf).dtype.name, np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(tree)]


def test_load_of_a_saved_tree_returns_the_same_bits_and_structure(backend, tmp_path):
    tree = _tree()
    backend.save(tmp_path / "t", tree)
    backend.wait()
    loaded = backend.load(tmp_path / "t", tree)
    assert _bits(loaded) == _bits(tree)
    assert jax.tree.structure(loaded) == jax.tree.structure(tree)


def test_bits_comparison_when_one_leaf_changes_fails():
    tree = _tree()
    changed = {**tree, "half": tree["half"].at[0].add(1)}
    assert _bits(changed) != _bits(tree)


@pytest.mark.parametrize("tree", [{}, {"nothing": np.zeros((0, 3), np.float32)}])
def test_load_of_a_tree_without_elements_returns_it(backend, tmp_path, tree):
    backend.save(tmp_path / "t", tree)
    backend.wait()
    assert _bits(backend.load(tmp_path / "t", tree)) == _bits(tree)


def test_load_without_a_sharding_returns_arrays_that_can_be_written(backend, tmp_path):
    backend.save(tmp_path / "t", {"w": np.arange(3.0)})
    backend.wait()
    loaded = backend.load(tmp_path / "t", {"w": np.zeros(3)})["w"]
    loaded[0] = 9
    assert isinstance(loaded, np.ndarray)


def test_load_onto_another_mesh_gives_the_sharding_asked_for(backend, tmp_path):
    values = jnp.arange(32, dtype=jnp.float32).reshape(8, 4)
    four = NamedSharding(build_mesh(fsdp=4), PartitionSpec("fsdp"))
    two = NamedSharding(build_mesh(dp=2, fsdp=2), PartitionSpec(None, "fsdp"))
    backend.save(tmp_path / "t", {"w": jax.device_put(values, four)})
    backend.wait()
    loaded = backend.load(tmp_path / "t", {"w": jax.ShapeDtypeStruct((8, 4), jnp.float32, sharding=two)})["w"]
    assert loaded.sharding == two
    np.testing.assert_array_equal(np.asarray(loaded), np.asarray(values))


@pytest.mark.parametrize(
    ("like", "said"),
    [
        ({"w": np.zeros(4, np.float32)}, r"\['w'\] is float32\[3\], expected float32\[4\]"),
        ({"w": np.zeros(3, np.float16)}, r"\['w'\] is float32\[3\], expected float16\[3\]"),
        ({"v": np.zeros(3, np.float32)}, r"\['v'\] is missing; \['w'\] is not asked for"),
    ],
)
def test_load_when_a_leaf_does_not_fit_names_it(backend, tmp_path, like, said):
    backend.save(tmp_path / "t", {"w": np.zeros(3, np.float32)})
    backend.wait()
    with pytest.raises(CheckpointError, match=said):
        backend.load(tmp_path / "t", like)


def test_save_when_buffers_are_reused_afterwards_keeps_the_saved_values(backend, tmp_path):
    add = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf + 1, tree), donate_argnums=0)
    state = add({"w": jnp.zeros((512, 512))})
    host = np.ones(4)
    backend.save(tmp_path / "t", {**state, "host": host})
    for _ in range(3):
        state = add(state)
    host[:] = 5
    backend.wait()
    loaded = backend.load(tmp_path / "t", {"w": np.zeros((512, 512), np.float32), "host": host})
    assert (loaded["w"] == 1).all()
    assert (loaded["host"] == 1).all()


@PLAIN
def test_plain_orbax_restores_nested_dicts_with_the_keys_of_the_tree(tmp_path):
    import orbax.checkpoint as ocp

    tree, backend = _tree(), OrbaxBackend()
    backend.save(tmp_path / "t", tree)
    backend.wait()
    restored = ocp.PyTreeCheckpointer().restore(tmp_path / "t" / "arrays")
    state = tree["state"]
    expected = {
        **{key: tree[key] for key in ("w", "transposed", "half", "a/b")},
        "state": {"first": {"0": state.first[0]}, "second": state.second},
    }
    assert jax.tree.structure(restored) == jax.tree.structure(expected)
    assert _bits(restored) == _bits(expected)


@PLAIN
def test_plain_orbax_restores_a_tree_of_one_leaf_as_value(tmp_path):
    import orbax.checkpoint as ocp

    backend, leaf = OrbaxBackend(), np.arange(3.0)
    backend.save(tmp_path / "t", leaf)
    backend.wait()
    assert _bits(backend.load(tmp_path / "t", leaf)) == _bits(leaf)
    restored = ocp.PyTreeCheckpointer().restore(tmp_path / "t" / "arrays")
    assert list(restored) == ["value"]


def test_orbax_of_two_leaves_that_it_would_take_for_one_is_refused(tmp_path):
    backend, leaf = OrbaxBackend(), np.zeros(1)
    with pytest.raises(
        CheckpointError, match=r"\['a'\]\['b'\] from \['a.b'\]: rename one, or use checkpoint"
    ):
        backend.save(tmp_path / "t", {"a": {"b": leaf}, "a.b": leaf})
    backend.save(tmp_path / "u", {"a": {"b": leaf}, "a.c": leaf})
    backend.wait()


def test_orbax_of_unnamed_leaves_is_refused_by_its_format(tmp_path):
    backend, tree = OrbaxBackend(), {"w": np.zeros(3)}
    backend.save(tmp_path / "t", tree)
    backend.wait()
    (tmp_path / "t" / "leaves.json").write_text(json.dumps([["['w']", [3], "float64"]]))
    with pytest.raises(CheckpointError, match="has format 1, this version reads 2: install the version"):
        backend.load(tmp_path / "t", tree)


def test_msgpack_brings_each_array_to_its_devices_before_it_reads_the_next(tmp_path, monkeypatch):
    # Columns do not follow each other in memory: jax copies them and does not share the array.
    sharding = NamedSharding(build_mesh(fsdp=2), PartitionSpec(None, "fsdp"))
    tree = {name: np.full((4, 6), number, np.float32) for number, name in enumerate("abc")}
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)
    MsgpackBackend().save(tmp_path / "t", tree)
    read, held = msgpack._read_leaves, []

    def watched(path):
        earlier = []
        for name, spec, array in read(path):
            held.append(sum(each() is not None for each in earlier))
            earlier.append(weakref.ref(array))
            yield name, spec, array

    monkeypatch.setattr(msgpack, "_read_leaves", watched)
    assert _bits(MsgpackBackend().load(tmp_path / "t", like)) == _bits(tree)
    assert max(held) == 1, "the one that was last, in the hands of the loop"
    held.clear()
    MsgpackBackend().load(tmp_path / "t", tree)
    assert held == [0, 1, 2], "a twin that keeps them in numpy"

"""The state of any optimizer: where it lies on a mesh, and that a resumed run has the very same."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from burnish.llm.config.family import Qwen2
from burnish.llm.config.optimizer import SGD, Adafactor, AdamW, Lion, Muon
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.objective import cross_entropy
from burnish.platform.checkpoint.config import Msgpack, Orbax
from burnish.platform.checkpoint.manager import CheckpointManager

FROZEN = ("embed", "layers/mlp", "layers/*/query*")


@dataclass(frozen=True)
class Plain:
    """A transformation of plain optax, whose state holds parameters in parts, factors and counters."""

    def build(self, context):
        del context
        return optax.partition(
            {"a": optax.adafactor(1e-2, min_dim_size_to_factor=16, momentum=0.9), "b": optax.adamw(1e-2)},
            lambda params: {name: "a" if name == "layers" else "b" for name in params},
        )


OPTIMIZERS = {
    "adamw": AdamW(learning_rate=1e-2, weight_decay=0.1),
    "adamw in bfloat16": AdamW(learning_rate=1e-2, weight_decay=0.1, moment_dtype="bfloat16"),
    "lion": Lion(learning_rate=1e-2, weight_decay=0.1),
    "sgd": SGD(learning_rate=1e-1, momentum=0.9, nesterov=True),
    "sgd without momentum": SGD(learning_rate=1e-1),
    "adafactor": Adafactor(learning_rate=1e-2, min_dim_size_to_factor=16),
    "muon": Muon(learning_rate=1e-2, weight_decay=0.1),
    "plain": Plain(),
}


WAYS = {
    "one device": ((1, 1), (), Msgpack),
    "fsdp": ((1, 2), (), Orbax),
    "fsdp, partly frozen": ((1, 2), FROZEN, Msgpack),
}
CASES = [
    *[(name, way) for name in OPTIMIZERS for way in ("one device", "fsdp, partly frozen")],
    *[(name, "fsdp") for name in ("adafactor", "muon", "plain")],
]


@pytest.mark.parametrize(("name", "way"), CASES)
def test_a_resumed_run_when_continued_then_equals_the_uninterrupted_one(
    make_training, batch_of, assert_bit_equal, tmp_path, name, way
):
    mesh_shape, frozen, backend = WAYS[way]
    make = partial(make_training, mesh_shape, optimizer=OPTIMIZERS[name], frozen=frozen)
    uninterrupted, resumed = make(), make()
    for seed in range(2):
        uninterrupted.step(batch_of(seed), cross_entropy)
    saving = CheckpointManager(Path(tmp_path), backend=backend())
    saving.save(2, {"training": uninterrupted}, {})
    saving.wait()
    saving.restore(saving.verify(2), {"training": resumed})
    for seed in range(2, 4):
        expected = uninterrupted.step(batch_of(seed), cross_entropy).statistics
        assert expected["train/skipped"][0] == 0
        assert_bit_equal(resumed.step(batch_of(seed), cross_entropy).statistics, expected)
    assert_bit_equal(resumed.save_state().trees, uninterrupted.save_state().trees)


@pytest.mark.parametrize("name", ["lion", "sgd", "adafactor", "muon"])
def test_twin_a_run_that_forgets_the_state_differs(make_training, batch_of, assert_bit_equal, name):
    uninterrupted, forgetful = (make_training(optimizer=OPTIMIZERS[name]) for _ in range(2))
    uninterrupted.step(batch_of(0), cross_entropy)
    forgetful.load_weights(jax.tree.map(np.array, uninterrupted.weights().tree))
    for training in (uninterrupted, forgetful):
        training.step(batch_of(1), cross_entropy, hyper={"learning_rate": 1e-2})
    with pytest.raises(AssertionError):
        assert_bit_equal(forgetful.weights().tree, uninterrupted.weights().tree)


@pytest.mark.parametrize("name", ["adafactor", "muon", "plain"])
def test_the_losses_of_two_devices_are_those_of_one(make_training, batch_of, name):
    one, two = (make_training(mesh, optimizer=OPTIMIZERS[name]) for mesh in ((1, 1), (1, 2)))
    for seed in range(4):
        ours, theirs = (each.step(batch_of(seed), cross_entropy).statistics for each in (one, two))
        np.testing.assert_allclose(ours["train/loss"][0], theirs["train/loss"][0], rtol=1e-5)


@pytest.fixture
def state(make_training):
    """Return a function to the optimizer's arrays by name, on two devices."""

    def of(name):
        return make_training((1, 2), optimizer=OPTIMIZERS[name]).save_state().trees["optimizer"]

    return of


def is_split(leaf):
    return leaf.addressable_shards[0].data.size < leaf.size


@pytest.mark.parametrize("name", ["adamw", "adamw in bfloat16", "lion", "sgd", "muon"])
def test_moments_of_their_parameters_shape_lie_as_these(state, make_training, name):
    params = jax.tree_util.tree_leaves_with_path(make_training((1, 2)).save_state().trees["params"])
    found = 0
    for keys, param in params:
        path = jax.tree_util.keystr(keys, simple=True, separator=".")
        own = {where: leaf for where, leaf in state(name).items() if where.endswith(f".{path}")}
        assert own, path
        for leaf in own.values():
            assert (leaf.shape, leaf.sharding) == (param.shape, param.sharding)
        found += any(map(is_split, own.values()))
    assert found > 4


def test_factored_moments_lie_as_the_dims_they_keep(state):
    arrays = state("adafactor")
    rows = arrays["opt_state.0.v_row.layers.mlp.gate"]
    columns = arrays["opt_state.0.v_col.layers.mlp.gate"]
    assert (rows.shape, columns.shape) == ((2, 32), (2, 48))
    assert rows.sharding.spec == PartitionSpec(None, ("fsdp",))
    of_heads = arrays["opt_state.0.v_row.layers.attention.query"]
    assert (of_heads.shape, of_heads.sharding.spec) == ((2, 32), PartitionSpec(None, ("fsdp",)))
    assert is_split(rows)
    assert not is_split(columns)
    assert not is_split(arrays["opt_state.0.count"])


def test_a_factored_moment_of_two_equal_dims_is_replicated(make_training, hf_config):
    square = Qwen2().build(FamilyContext(hf_config={**hf_config, "intermediate_size": 32}))
    training = make_training((1, 2), optimizer=OPTIMIZERS["adafactor"], model=square)
    arrays = training.save_state().trees["optimizer"]
    assert not is_split(arrays["opt_state.0.v_row.layers.mlp.gate"])


def test_adafactor_keeps_a_tenth_of_what_adamw_keeps(make_training):
    def num_bytes(name):
        state = make_training(optimizer=OPTIMIZERS[name]).save_state().trees["optimizer"]
        return sum(leaf.nbytes for leaf in state.values())

    assert num_bytes("sgd without momentum") < 64
    assert num_bytes("lion") < 0.51 * num_bytes("adamw")
    assert num_bytes("adafactor") < 0.1 * num_bytes("adamw")

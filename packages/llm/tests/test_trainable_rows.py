"""Rows of a parameter: trained from one on, with the gradient, moments and masters of these alone."""

import jax
import numpy as np
import pytest

from burnish.llm.config.optimizer import SGD, Adafactor, AdamW
from burnish.llm.objective import cross_entropy
from burnish.llm.partition import Partition
from burnish.platform.checkpoint.snapshot import Restored
from burnish.platform.errors import ConfigError

FIRST = 40
"""Of the 61 rows of the embedding; the tokens of batches go up to 49."""
ROWS = {"embed": FIRST}


def trained(training, batch_of, steps=3):
    before = jax.tree.map(np.array, training.weights().tree)
    for seed in range(steps):
        training.step(batch_of(seed), cross_entropy)
    return before, jax.tree.map(np.array, training.weights().tree)


@pytest.mark.parametrize("mesh_shape", [(1, 1), (2, 2), (1, 1, 2)], ids=str)
def test_rows_before_the_first_when_trained_then_keep_their_bits(make_training, batch_of, mesh_shape):
    training = make_training(mesh_shape, trainable_rows=ROWS)
    before, after = trained(training, batch_of)
    np.testing.assert_array_equal(after["embed"][:FIRST], before["embed"][:FIRST])
    moved = np.abs(after["embed"] - before["embed"]).max(axis=1)
    assert (moved[FIRST:] > 0).all(), "decay moves those that no token names"
    assert not np.array_equal(after["final_norm"], before["final_norm"])
    whole = make_training(mesh_shape).weights().tree["embed"]
    assert training.weights().tree["embed"].sharding == whole.sharding


def test_state_when_rows_are_trained_then_has_moments_and_masters_of_these_alone(make_training):
    training = make_training(trainable_rows=ROWS, frozen=("layers", "final_norm"))
    trees = training.save_state().trees
    assert trees["params"]["embed"].shape == (61, 32), "a checkpoint is a model"
    moments = {name: leaf.shape for name, leaf in trees["optimizer"].items() if leaf.ndim}
    assert set(moments.values()) == {(61 - FIRST, 32)}
    assert len(moments) == 2
    assert training._state["params"]["embed"].shape == (61 - FIRST, 32)


def test_rows_when_compared_with_a_full_step_then_move_as_in_it(make_training, batch_of):
    options = {"optimizer": SGD(learning_rate=0.1), "max_grad_norm": float("inf")}
    _, partly = trained(make_training(trainable_rows=ROWS, **options), batch_of, steps=1)
    _, fully = trained(make_training(**options), batch_of, steps=1)
    np.testing.assert_allclose(partly["embed"][FIRST:], fully["embed"][FIRST:], rtol=1e-6, atol=1e-7)
    assert not np.array_equal(partly["embed"][:FIRST], fully["embed"][:FIRST])


def test_rows_of_the_layers_when_trained_then_are_layers(make_training, batch_of):
    before, after = trained(make_training(trainable_rows={"layers": 1}), batch_of)
    pairs = zip(jax.tree.leaves(before["layers"]), jax.tree.leaves(after["layers"]), strict=True)
    for old, new in pairs:
        np.testing.assert_array_equal(old[0], new[0])
        assert not np.array_equal(old[1], new[1])


@pytest.mark.parametrize(
    ("dtypes", "optimizer"),
    [(("float32", "bfloat16"), AdamW()), (("bfloat16", "float32"), Adafactor(min_dim_size_to_factor=16))],
    ids=["adamw", "adafactor"],
)
def test_rows_when_saved_and_resumed_then_continue_bit_for_bit(
    make_training, batch_of, assert_bit_equal, dtypes, optimizer
):
    def make():
        return make_training((1, 2), trainable_rows=ROWS, dtypes=dtypes, optimizer=optimizer)

    uninterrupted, resumed = make(), make()
    uninterrupted.step(batch_of(0), cross_entropy)
    snapshot = uninterrupted.save_state()
    trees = jax.tree.map(np.array, dict(snapshot.trees))
    resumed.load_state(Restored(snapshot.json, lambda name, _: trees[name], snapshot.files.__getitem__))
    for seed in (1, 2):
        expected = uninterrupted.step(batch_of(seed), cross_entropy).statistics
        assert_bit_equal(resumed.step(batch_of(seed), cross_entropy).statistics, expected)
    assert_bit_equal(resumed.save_state().trees, uninterrupted.save_state().trees)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trainable_rows": {"head": 3}}, "trainable_rows: 'head' matches no parameter; there are embed"),
        (
            {"trainable_rows": {"embed": 61}},
            "none of the 61 rows of 'embed' would be trained; legal: 1 to 60",
        ),
        (
            {"trainable_rows": ROWS, "frozen": ("embed",)},
            "trainable_rows.embed=40: frozen names 'embed' too, all of it; take it out of one of them",
        ),
    ],
    ids=str,
)
def test_rows_that_make_no_sense_are_refused(make_training, options, message):
    with pytest.raises(ConfigError, match=message):
        make_training(**options)


def test_a_parameter_that_is_taken_out_of_one_of_the_two_is_trained_or_not(model):
    tree = model.abstract("float32")
    Partition((), (("embed", FIRST),)).check(tree)
    Partition(("embed",)).check(tree)


def test_what_is_split_by_rows_when_merged_then_is_whole():
    tree = {"a": np.arange(12.0).reshape(6, 2), "b": {"c": np.ones(3)}}
    parts = Partition((), (("a", 4),)).split(tree)
    assert parts[0]["a"].shape == (2, 2)
    assert parts[1] == {"a": pytest.approx(tree["a"][:4])}
    merged = Partition((), (("a", 4),)).merge(*parts)
    np.testing.assert_array_equal(merged["a"], tree["a"])
    assert merged["b"]["c"] is tree["b"]["c"]

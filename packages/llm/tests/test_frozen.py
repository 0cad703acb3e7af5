"""Frozen parameters: no gradient, no moments, no masters, and every bit as it was."""

import jax
import numpy as np
import pytest

from burnish.llm.objective import cross_entropy
from burnish.platform.checkpoint.snapshot import Restored
from burnish.platform.errors import ConfigError

FROZEN = ("embed", "layers/mlp", "layers/*/query*")


def test_frozen_when_trained_then_has_no_moments_and_keeps_its_bits(
    make_training, batch_of, assert_bit_equal
):
    training = make_training(frozen=FROZEN)
    before = jax.tree.map(np.array, training.weights().tree)
    for seed in range(3):
        training.step(batch_of(seed), cross_entropy)
    after = training.weights().tree
    assert_bit_equal([after["embed"], after["layers"]["mlp"]], [before["embed"], before["layers"]["mlp"]])
    attention = after["layers"]["attention"], before["layers"]["attention"]
    assert_bit_equal(attention[0]["query"], attention[1]["query"])
    assert not np.array_equal(attention[0]["key"], attention[1]["key"])
    moments = [name for name in training.save_state().trees["optimizer"] if ".mu." in name or ".nu." in name]
    assert moments
    assert not [name for name in moments if "embed" in name or "mlp" in name.split(".") or "query" in name]
    everything = make_training()
    everything.step(batch_of(), cross_entropy)
    assert any("embed" in name for name in everything.save_state().trees["optimizer"])


@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("float32", "bfloat16"), ("bfloat16", "float32")])
def test_frozen_when_saved_and_resumed_then_continues_bit_for_bit(
    make_training, dtypes, batch_of, assert_bit_equal
):
    uninterrupted = make_training(frozen=FROZEN, dtypes=dtypes)
    uninterrupted.step(batch_of(0), cross_entropy)
    snapshot = uninterrupted.save_state()
    trees = jax.tree.map(np.array, dict(snapshot.trees))

    def load_tree(name, like):
        fits = jax.tree.map(lambda leaf, other: leaf.dtype == other.dtype, trees[name], like)
        assert all(jax.tree.leaves(fits))
        return trees[name]

    resumed = make_training(frozen=FROZEN, dtypes=dtypes)
    resumed.step(batch_of(5), cross_entropy)
    resumed.load_state(Restored(snapshot.json, load_tree, snapshot.files.__getitem__))
    for seed in (1, 2):
        expected = uninterrupted.step(batch_of(seed), cross_entropy).statistics
        assert_bit_equal(resumed.step(batch_of(seed), cross_entropy).statistics, expected)
    assert_bit_equal(resumed.weights().tree, uninterrupted.weights().tree)


def test_frozen_gradients_when_compared_with_a_full_step_then_the_trained_ones_are_equal(
    make_training, batch_of
):
    """The norm over what is trained is smaller than that over everything, and the loss the same."""
    partly, fully = make_training(frozen=("embed",)), make_training()
    ours = partly.step(batch_of(), cross_entropy).statistics
    theirs = fully.step(batch_of(), cross_entropy).statistics
    np.testing.assert_allclose(ours["train/loss"][0], theirs["train/loss"][0], rtol=1e-6)
    assert ours["train/grad_norm"][0] < theirs["train/grad_norm"][0]


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (("layers/nothing",), "frozen: 'layers/nothing' matches no parameter; there are embed"),
        (("*",), "freezes every parameter"),
    ],
)
def test_frozen_when_the_patterns_make_no_sense_then_is_refused(make_training, patterns, message):
    with pytest.raises(ConfigError, match=message):
        make_training(frozen=patterns)

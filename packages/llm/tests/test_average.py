"""The average of what is trained: its numbers, and where it takes the place of the weights."""

import json

import jax
import numpy as np
import optax
import pytest

from burnish.llm.byte_tokenizer import ByteTokenizer
from burnish.llm.config.lora import LoRA
from burnish.llm.config.optimizer import SGD
from burnish.llm.objective import cross_entropy
from burnish.llm.training import judged_weights
from burnish.platform.checkpoint.snapshot import Restored

DECAY, STEPS = 0.9, 6
MASTERS = {
    "full": {},
    "bfloat16": {"dtypes": ("bfloat16", "float32")},
    "frozen": {"frozen": ("layers/mlp",)},
    "rows": {"trainable_rows": {"embed": 40}},
    "sharded": {"mesh_shape": (1, 2, 2)},
}


def masters_of(training):
    """What is trained, in numpy and fp32; a test may look inside for it."""
    return jax.device_get(jax.tree.map(lambda leaf: leaf.astype("float32"), training._state["params"]))


def run(training, batch_of, steps=STEPS):
    """Step, and return the masters after each step."""
    found = []
    for step in range(steps):
        training.step(batch_of(step), cross_entropy)
        found.append(masters_of(training))
    return found


def by_optax(masters, debias=True):
    """The same average of optax."""
    average = optax.ema(DECAY, debias=debias)
    state = average.init(masters[0])
    for each in masters:
        found, state = average.update(each, state)
    return found


def error(found, wanted):
    return max(
        np.abs(one - other).max() / np.abs(other).max()
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True)
    )


@pytest.mark.parametrize("options", MASTERS.values(), ids=MASTERS)
def test_average_is_that_of_optax_over_the_masters_of_each_update(make_training, batch_of, options):
    training = make_training(**options, ema_decay=DECAY)
    masters = run(training, batch_of)
    found = jax.device_get(training._state["average"])
    assert error(found, by_optax(masters)) < 1e-6
    assert error(found, by_optax(masters, debias=False)) > 1e-2, "the twin without the correction"
    assert error(found, masters[-1]) > 1e-4, "the twin that is no average"


def test_average_of_the_first_update_is_its_result(make_training, batch_of):
    training = make_training(ema_decay=0.9999)
    (masters,) = run(training, batch_of, steps=1)
    assert error(jax.device_get(training._state["average"]), masters) < 1e-6


def test_training_is_the_same_with_and_without(make_training, batch_of, assert_bit_equal):
    plain, averaging = make_training(), make_training(ema_decay=DECAY)
    for each in (plain, averaging):
        run(each, batch_of)
    assert_bit_equal(plain.weights().tree, averaging.weights().tree)
    assert plain.averaged() is None
    assert judged_weights(plain) == plain.weights()


def test_an_update_that_is_skipped_leaves_the_average(make_training, batch_of, assert_bit_equal):
    training = make_training(ema_decay=DECAY)
    run(training, batch_of)
    before = jax.device_get(training._state["average"])
    computed = training.step(batch_of(9), lambda policy, _: (policy.logprobs() * np.inf, {}))
    assert float(computed.result().statistics["train/skipped"][0]) == 1
    assert_bit_equal(training._state["average"], before)
    masters = run(training, batch_of, steps=1)
    share = (1 - DECAY) / (1 - DECAY ** (STEPS + 1))
    wanted = jax.tree.map(lambda old, new: old + share * (new - old), before, masters[0])
    assert error(jax.device_get(training._state["average"]), wanted) < 1e-6


def test_what_is_judged_and_handed_over_is_the_average(make_training, batch_of, assert_bit_equal):
    training = make_training(ema_decay=DECAY, frozen=("layers/mlp",))
    masters = run(training, batch_of)
    exported = training.exported()
    wanted = {**training.weights().tree, **by_optax(masters)}
    assert error(exported["embed"], wanted["embed"]) < 1e-6
    assert_bit_equal(exported, judged_weights(training).tree)
    assert error(exported["embed"], jax.device_get(training.weights().tree["embed"])) > 1e-4
    assert_bit_equal(exported["layers"]["mlp"], training.weights().tree["layers"]["mlp"])


def test_low_rank_updates_are_averaged_before_they_are_merged(make_training, batch_of):
    training = make_training(component=LoRA, rank=4, optimizer=SGD(learning_rate=0.5), ema_decay=DECAY)
    base = jax.device_get(training.weights().tree)["layers"]["mlp"]["up"]
    masters = run(training, batch_of)
    adapter = by_optax(masters)["adapters"]["layers"]["mlp"]["up"]
    down, up = adapter["a"], adapter["b"]
    wanted = base + 32.0 / 4 * np.einsum("ldr,lrf->ldf", down, up)
    found = jax.device_get(judged_weights(training).tree)["layers"]["mlp"]["up"]
    assert error(found, wanted) < 1e-5
    assert error(jax.device_get(training.weights().tree)["layers"]["mlp"]["up"], wanted) > 1e-5


def restored_from(snapshot):
    trees = jax.device_get(snapshot.trees)
    return Restored(
        json.loads(json.dumps(snapshot.json)), lambda name, _: trees[name], snapshot.files.__getitem__
    )


@pytest.mark.parametrize("mesh_shape", [(1, 1), (1, 4)])
def test_average_goes_on_after_a_stop_on_any_mesh(make_training, batch_of, assert_bit_equal, mesh_shape):
    whole, stopped = make_training(ema_decay=DECAY), make_training(ema_decay=DECAY)
    run(whole, batch_of, steps=3)
    run(stopped, batch_of, steps=3)
    snapshot = stopped.save_state()
    resumed = make_training(mesh_shape, ema_decay=DECAY)
    resumed.load_state(restored_from(snapshot))
    assert_bit_equal(resumed._state["average"], whole._state["average"])
    assert_bit_equal(resumed.averaged().tree, whole.averaged().tree)
    masters = run(resumed, batch_of, steps=2)[-1]
    run(whole, batch_of, steps=2)
    if mesh_shape == (1, 1):
        assert_bit_equal(resumed._state["average"], whole._state["average"])
    assert error(jax.device_get(resumed._state["average"]), jax.device_get(whole._state["average"])) < 1e-5
    assert error(jax.device_get(resumed._state["average"]), masters) > 1e-3


def test_average_begins_anew_with_other_parameters(
    make_training, batch_of, scaled_params, model, assert_bit_equal
):
    training = make_training(ema_decay=DECAY)
    run(training, batch_of)
    training.load_weights(scaled_params(model, seed=7))
    assert_bit_equal(training._state["average"], training._state["params"])
    training.step(batch_of(1), cross_entropy)
    assert error(jax.device_get(training._state["average"]), masters_of(training)) > 0


def test_written_averages_lie_beside_the_weights_of_the_same_version(make_training, batch_of, tmp_path):
    training = make_training(ema_decay=DECAY, tokenizer=ByteTokenizer())
    run(training, batch_of, steps=2)
    average, weights = (each.export(tmp_path) for each in (training.averaged(), training.weights()))
    assert (average.name, weights.name) == ("average_2", "version_2")
    assert [each.export(tmp_path) for each in (training.averaged(), training.weights())] == [average, weights]
    tensors = [(each / "model.safetensors").read_bytes() for each in (average, weights)]
    assert tensors[0] != tensors[1]

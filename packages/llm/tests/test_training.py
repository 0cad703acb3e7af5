import json
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from burnish.llm.batch import make_batch
from burnish.llm.config.family import Qwen2
from burnish.llm.config.optimizer import AdamW
from burnish.llm.config.training import JaxTraining
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.footprint import human_bytes, num_bytes
from burnish.llm.objective import cross_entropy
from burnish.llm.placement import place_params
from burnish.llm.sequence import make_sample
from burnish.llm.training import TrainingContext
from burnish.platform.checkpoint.snapshot import Restored
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.errors import ConfigError

COMPILES = []
jax.monitoring.register_event_duration_secs_listener(
    lambda name, _, **about: COMPILES.append(about) if name.endswith("backend_compile_duration") else None
)


@dataclass(frozen=True)
class PlainDescent:
    """An optimizer from elsewhere: no schedule to report."""

    learning_rate: float = 1.0

    def build(self, context):
        del context
        return optax.sgd(self.learning_rate)


@dataclass(frozen=True)
class Exploding:
    """Cross-entropy that is infinite on batches whose first token is `trigger`."""

    trigger: int

    def __call__(self, policy, batch):
        factor = jnp.where(batch.tokens[0, 0] == self.trigger, jnp.inf, 1.0)
        return -policy.logprobs() * factor, {}


def batch_of(seed, num_rows=4, first_token=None):
    rng = np.random.default_rng(seed)
    samples = [
        make_sample(rng.integers(0, 50, 3), rng.integers(0, 50, rng.integers(1, 6))) for _ in range(num_rows)
    ]
    if first_token is not None:
        samples[0].tokens[0] = first_token
    return make_batch(samples, num_rows=num_rows, length=8, pad_token_id=60)


@pytest.fixture
def backend(hf_config, mesh):
    """Return a maker of backends on a tiny Qwen2."""

    def make(seed=0, mesh_shape=(1, 1), optimizer=None, dtypes=("float32", "float32"), **options):
        model = Qwen2().build(FamilyContext(hf_config=hf_config))
        return JaxTraining(**options).build(
            TrainingContext(
                model=model,
                load=lambda like: place_params(model.init(seed), like),
                optimizer=optimizer or AdamW(learning_rate=1e-2, warmup_steps=2, weight_decay=0.1),
                total_steps=20,
                mesh=mesh(*mesh_shape),
                jax=JaxConfig(param_dtype=dtypes[0], compute_dtype=dtypes[1]),
            )
        )

    return make


def on_host(tree):
    return [np.array(leaf) for leaf in jax.tree.leaves(tree)]


def restored_from(snapshot):
    """Write a snapshot out as numpy and JSON, and hand it back as a checkpoint does."""
    trees = {name: jax.tree.map(lambda leaf: np.array(leaf), tree) for name, tree in snapshot.trees.items()}

    def load_tree(name, like):
        assert jax.tree.structure(trees[name]) == jax.tree.structure(like)
        return jax.tree.map(lambda leaf, likeness: jax.device_put(leaf, likeness.sharding), trees[name], like)

    return Restored(json.loads(json.dumps(snapshot.json)), load_tree, snapshot.files.__getitem__)


def assert_bit_equal(ours, theirs):
    for one, other in zip(on_host(ours), on_host(theirs), strict=True):
        np.testing.assert_array_equal(one, other)


def test_step_when_repeated_then_the_loss_falls_and_the_version_rises(backend):
    training = backend()
    losses = [float(training.step(batch_of(0), cross_entropy).statistics["train/loss"][0]) for _ in range(15)]
    assert losses[-1] < losses[0] - 0.5
    assert training.weight_version == 15


def test_step_when_done_then_reports_sums_and_counts_of_what_happened(backend):
    batch = batch_of(0)
    training = backend()
    statistics = {
        name: (float(a), float(b)) for name, (a, b) in training.step(batch, cross_entropy).statistics.items()
    }
    num_tokens = np.count_nonzero(batch.weights)
    assert statistics["train/tokens"] == (num_tokens, 1)
    assert statistics["train/skipped"] == (0, 1)
    assert statistics["train/cross_entropy"][1] == num_tokens
    total, count = statistics["train/cross_entropy"]
    np.testing.assert_allclose(statistics["train/loss"][0], total / count, rtol=1e-6)
    np.testing.assert_allclose(statistics["train/learning_rate"], (1e-2 / 3, 1), rtol=1e-6)


def test_step_when_the_optimizer_has_no_schedule_then_no_rate_is_reported(backend):
    assert (
        "train/learning_rate"
        not in backend(optimizer=PlainDescent()).step(batch_of(0), cross_entropy).statistics
    )


@pytest.mark.parametrize("limit", [0.25, float("inf")])
def test_step_when_the_gradient_is_large_then_the_update_has_the_norm_of_the_limit(backend, limit):
    training = backend(optimizer=PlainDescent(), max_grad_norm=limit)
    before = on_host(training.weights().tree)
    statistics = training.step(batch_of(0), cross_entropy).statistics
    assert statistics["train/grad_norm"][0] > 0.5
    moved = np.sqrt(
        sum(((a - b) ** 2).sum() for a, b in zip(on_host(training.weights().tree), before, strict=True))
    )
    np.testing.assert_allclose(moved, min(limit, float(statistics["train/grad_norm"][0])), rtol=1e-4)


@pytest.mark.parametrize("micro_batch_rows", ["all", 2])
def test_step_when_the_loss_is_not_finite_then_nothing_moves_but_the_count(backend, micro_batch_rows):
    training = backend(micro_batch_rows=micro_batch_rows)
    objective = Exploding(trigger=55)
    training.step(batch_of(0), objective)
    before = on_host(training.weights().tree)
    saved = training.save_state().trees
    moments = {name: np.array(leaf) for name, leaf in saved["optimizer"].items()}
    masters = on_host(saved["params"])
    statistics = training.step(batch_of(1, first_token=55), objective).statistics
    assert statistics["train/skipped"][0] == 1
    assert_bit_equal(training.weights().tree, before)
    after = training.save_state().trees
    assert_bit_equal(after["params"], masters)
    changed = [name for name in moments if not np.array_equal(moments[name], after["optimizer"][name])]
    assert sorted(changed) == ["skipped", "step"]
    statistics = training.step(batch_of(2), objective).statistics
    assert statistics["train/skipped"][0] == 0
    np.testing.assert_allclose(statistics["train/learning_rate"][0], 1e-2 * 2 / 3, rtol=1e-6)


@pytest.mark.parametrize(
    "dtypes", [("float32", "float32"), ("float32", "bfloat16"), ("bfloat16", "bfloat16")]
)
def test_weights_when_held_over_a_step_then_stay_as_they_were(backend, dtypes):
    training = backend(dtypes=dtypes)
    held = training.weights().tree
    copy = on_host(held)
    for seed in range(3):
        training.step(batch_of(seed), cross_entropy)
        assert_bit_equal(held, copy)
        held, copy = training.weights().tree, on_host(training.weights().tree)
        masters = training.save_state().trees["params"]
        for weight, master in zip(jax.tree.leaves(held), jax.tree.leaves(masters), strict=True):
            assert (weight.dtype, master.dtype) == (dtypes[1], dtypes[0])
            assert weight.unsafe_buffer_pointer() != master.unsafe_buffer_pointer()
            np.testing.assert_array_equal(np.array(master.astype(weight.dtype)), np.array(weight))


def test_backend_when_made_from_numpy_then_never_writes_to_it(backend, hf_config):
    model = Qwen2().build(FamilyContext(hf_config=hf_config))
    training = backend()
    params = model.init(1)
    copy = on_host(params)
    training.load_weights(params)
    training.step(batch_of(0), cross_entropy)
    assert_bit_equal(params, copy)


def test_load_weights_when_called_then_the_next_step_starts_from_them(backend):
    training, other = backend(seed=0), backend(seed=1)
    training.load_weights(jax.tree.map(np.array, other.weights().tree))
    assert training.weight_version == 1
    assert_bit_equal(training.weights().tree, other.weights().tree)
    ours, theirs = (each.step(batch_of(0), cross_entropy).statistics for each in (training, other))
    assert ours["train/loss"][0] == theirs["train/loss"][0]


@pytest.mark.parametrize(
    ("mesh_shape", "dtype"), [((1, 1), "float32"), ((2, 2), "float32"), ((2, 2), "bfloat16")]
)
def test_load_state_when_continued_then_equals_uninterrupted_bit_for_bit(backend, mesh_shape, dtype):
    options = {"mesh_shape": mesh_shape, "dtypes": (dtype, dtype)}
    uninterrupted = backend(**options)
    for seed in range(3):
        uninterrupted.step(batch_of(seed), cross_entropy)
    saved = restored_from(uninterrupted.save_state())
    resumed, without_optimizer = backend(seed=7, **options), backend(seed=7, **options)
    resumed.load_state(saved)
    without_optimizer.load_weights(saved.tree("params", uninterrupted.save_state().trees["params"]))
    assert resumed.weight_version == 3
    for seed in range(3, 6):
        expected = uninterrupted.step(batch_of(seed), cross_entropy)
        assert_bit_equal(resumed.step(batch_of(seed), cross_entropy), expected)
        without_optimizer.step(batch_of(seed), cross_entropy)
    assert_bit_equal(resumed.save_state().trees, uninterrupted.save_state().trees)
    with pytest.raises(AssertionError):
        assert_bit_equal(without_optimizer.weights().tree, uninterrupted.weights().tree)


@pytest.mark.parametrize("dtypes", [("float32", "bfloat16"), ("bfloat16", "float32")])
def test_load_state_when_saved_before_the_first_step_then_the_weights_are_the_same(backend, dtypes):
    begun, resumed = backend(dtypes=dtypes), backend(dtypes=dtypes, seed=7)
    resumed.load_state(restored_from(begun.save_state()))
    assert_bit_equal(resumed.weights().tree, begun.weights().tree)


def test_load_state_when_the_mesh_is_another_then_continues_up_to_rounding(backend):
    one = backend()
    one.step(batch_of(0), cross_entropy)
    four = backend(mesh_shape=(2, 2), seed=3)
    four.load_state(restored_from(one.save_state()))
    losses = [backend.step(batch_of(1), cross_entropy).statistics["train/loss"][0] for backend in (one, four)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_save_state_when_called_then_carries_the_model_configuration(backend, hf_config):
    files = backend().save_state().files
    assert json.loads(files["config.json"]) == hf_config


@pytest.mark.parametrize("mesh_shape", [(1, 1), (2, 4)])
def test_step_when_past_the_second_then_compiles_nothing(backend, mesh_shape):
    training = backend(mesh_shape=mesh_shape)
    batches = [batch_of(seed, num_rows=8) for seed in range(5)]
    for batch in batches[:2]:
        training.step(batch, cross_entropy)
    COMPILES.clear()
    for batch in batches[2:]:
        training.step(batch, cross_entropy)
    assert COMPILES == []
    training.step(batch_of(0, num_rows=16), cross_entropy)
    assert len(COMPILES) > 0


def test_backend_when_settings_are_equal_then_a_second_one_compiles_nothing(backend):
    backend().step(batch_of(0), cross_entropy)
    COMPILES.clear()
    second = backend()
    second.step(batch_of(1), cross_entropy)
    assert COMPILES == []
    backend(max_grad_norm=0.5).step(batch_of(1), cross_entropy)
    assert COMPILES == []
    backend(logprob_chunk=8).step(batch_of(1), cross_entropy)
    assert len(COMPILES) > 0


def test_step_when_the_batch_is_not_divisible_then_raises(backend):
    with pytest.raises(ConfigError, match="4 or 8 rows could"):
        backend(mesh_shape=(2, 2)).step(batch_of(0, num_rows=6), cross_entropy)


@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("float32", "bfloat16")])
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_a_plan_tells_what_is_allocated(backend, hf_config, mesh, dtypes, ema_decay):
    batch, training = batch_of(0), backend(dtypes=dtypes, ema_decay=ema_decay)
    context = TrainingContext(
        model=Qwen2().build(FamilyContext(hf_config=hf_config)),
        load=lambda like: pytest.fail(f"a plan reads {like}"),
        optimizer=AdamW(),
        total_steps=20,
        mesh=mesh(),
        jax=JaxConfig(param_dtype=dtypes[0], compute_dtype=dtypes[1]),
    )
    plan = JaxTraining(ema_decay=ema_decay).plan(context, batch, cross_entropy)
    assert plan["memory of parameters and optimizer"] == human_bytes(num_bytes(training.save_state().trees))
    assert plan[f"memory of the weights in {dtypes[1]}"] == human_bytes(num_bytes(training.weights().tree))
    assert plan["memory of an update's batch"] == human_bytes(num_bytes(batch))
    assert plan["parameters"] == sum(leaf.size for leaf in jax.tree.leaves(training.weights().tree))

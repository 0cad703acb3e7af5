"""The two halves of a step, what else a backend computes, and what may change without a compilation."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.aggregation import BatchTotals
from burnish.llm.byte_tokenizer import ByteTokenizer
from burnish.llm.objective import cross_entropy
from burnish.llm.scoring import OUTPUTS, Scorer
from burnish.llm.testing import params_in
from burnish.llm.tokenizer_files import load_tokenizer
from burnish.platform.device.compiles import CompileCounter
from burnish.platform.errors import ConfigError
from burnish.platform.statistics.kinds import Maximum
from burnish.platform.statistics.tracker import StatsTracker


@pytest.mark.parametrize(
    ("micro_batch_rows", "mesh_shape", "dtypes", "ema_decay"),
    [
        ("all", (1, 1), ("float32", "float32"), 0.0),
        ("all", (1, 1), ("float32", "float32"), 0.9),
        (2, (1, 1), ("float32", "float32"), 0.0),
        (4, (2, 2), ("float32", "float32"), 0.0),
        (2, (1, 1), ("float32", "bfloat16"), 0.9),
    ],
)
def test_step_when_taken_in_two_halves_then_equals_bit_for_bit(
    make_training, micro_batch_rows, mesh_shape, dtypes, ema_decay, batch_of, assert_bit_equal
):
    made = {"mesh_shape": mesh_shape, "dtypes": dtypes, "micro_batch_rows": micro_batch_rows}
    made["ema_decay"] = ema_decay
    whole, halves = make_training(**made), make_training(**made)
    for seed in range(3):
        expected = whole.step(batch_of(seed), cross_entropy).statistics
        first = halves.forward_backward(batch_of(seed), cross_entropy).statistics
        found = {**first, **halves.optim_step().statistics}
        assert found.keys() == expected.keys()
        assert_bit_equal(found, expected)
    assert_bit_equal(halves.save_state().trees, whole.save_state().trees)
    assert whole.weight_version == halves.weight_version == 3


def test_twin_a_half_that_forgets_a_batch_is_noticed(make_training, batch_of, assert_bit_equal):
    whole, halves = make_training(), make_training()
    whole.step(batch_of(0), cross_entropy)
    halves.forward_backward(batch_of(1), cross_entropy)
    halves.optim_step()
    with pytest.raises(AssertionError):
        assert_bit_equal(halves.weights().tree, whole.weights().tree)


def test_forward_backward_when_called_for_parts_then_their_gradients_add_up(
    make_training, batch_of, samples_of
):
    samples = samples_of(0)
    totals = BatchTotals.of(samples)
    whole, parts = make_training(), make_training()
    expected = whole.step(batch_of(rows=samples), cross_entropy).statistics
    for half in (samples[:4], samples[4:]):
        parts.forward_backward(batch_of(rows=half, totals=totals), cross_entropy)
    found = parts.optim_step().statistics
    for name in ("train/loss", "train/grad_norm"):
        np.testing.assert_allclose(found[name][0], expected[name][0], rtol=1e-5)


def test_verbs_return_before_they_are_computed_and_wait_where_they_are_asked_to(make_training, batch_of):
    training, batch = make_training(), batch_of()
    training.step(batch, cross_entropy)  # compiles
    verbs = [training.forward_backward(batch, cross_entropy, ["logprobs"]), training.optim_step()]
    verbs += [training.step(batch, cross_entropy) for _ in range(30)]
    assert not verbs[-1].done(), "thirty steps were waited for"
    results = [each.result() for each in verbs]
    assert all(each.done() for each in [*verbs, *results])
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(results))
    np.testing.assert_array_equal(results[0].columns["logprobs"], np.asarray(verbs[0].columns["logprobs"]))


def test_optim_step_when_there_is_no_gradient_then_raises(make_training, batch_of):
    training = make_training()
    with pytest.raises(RuntimeError, match="no gradient to apply: call forward_backward before it"):
        training.optim_step()
    training.forward_backward(batch_of(), cross_entropy)
    training.optim_step()


@pytest.mark.parametrize(("micro_batch_rows", "mesh_shape"), [("all", (1, 1)), (2, (1, 1)), (4, (2, 2))])
def test_score_when_compared_with_what_a_step_computed_then_equals(
    make_training, micro_batch_rows, mesh_shape, batch_of
):
    training = make_training(mesh_shape=mesh_shape, micro_batch_rows=micro_batch_rows)
    scored = training.score(batch_of(), OUTPUTS)
    columns = training.step(batch_of(), cross_entropy, outputs=OUTPUTS).columns
    assert columns.keys() == scored.keys() == set(OUTPUTS)
    for name in OUTPUTS:
        np.testing.assert_allclose(columns[name], scored[name], rtol=1e-6, atol=1e-6)
    assert not np.allclose(training.score(batch_of(), ["logprobs"])["logprobs"], scored["logprobs"])


def test_score_when_weights_are_frozen_then_needs_no_backend(
    make_training, model, scaled_params, mesh, batch_of, samples_of
):
    training = make_training(micro_batch_rows=2)
    frozen = jax.tree.map(jnp.asarray, scaled_params(model, scale=0.2))
    expected = training.score(batch_of(), ["logprobs"])["logprobs"]
    training.step(batch_of(), cross_entropy)
    found = Scorer(model=model, mesh=mesh(), logprob_chunk=32)(frozen, batch_of(), ["logprobs"])["logprobs"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    rows = batch_of(rows=list(reversed(samples_of(0))))
    np.testing.assert_allclose(
        Scorer(model=model, mesh=mesh())(frozen, rows, ["logprobs"])["logprobs"][::-1],
        expected,
        rtol=1e-5,
        atol=1e-5,
    )


def test_score_when_an_output_is_unknown_then_names_those_there(make_training, batch_of):
    with pytest.raises(ValueError, match=r"\['perplexity'\] are none of logprobs, entropy"):
        make_training().score(batch_of(), ["perplexity"])


@dataclass(frozen=True)
class Penalized:
    """Cross-entropy with a KL-like penalty and a clip, whose coefficients are scalars of the batch."""

    @property
    def scalars(self):
        return {"coefficient": 0.0, "clip": 100.0}

    def __call__(self, policy, batch):
        logprobs = policy.logprobs()
        values = -jnp.clip(logprobs, -batch.scalars["clip"], None)
        return values + batch.scalars["coefficient"] * logprobs**2, {"worst": Maximum(jnp.max(values))}


@dataclass(frozen=True)
class Scaled:
    """Cross-entropy with a coefficient of its own: another one is another program."""

    coefficient: float

    def __call__(self, policy, _):
        return -policy.logprobs() * self.coefficient, {}


def test_step_when_coefficients_and_rates_move_then_compiles_nothing(make_training, batch_of):
    training = make_training()
    training.step(batch_of(), Penalized())
    counter = CompileCounter()
    losses = []
    for step in range(1, 5):
        batch = replace(batch_of(), scalars={"coefficient": 0.1 * step, "clip": 5.0 / step})
        hyper = {"learning_rate": 1e-4 * step, "max_grad_norm": 1.0 + step, "b1": 0.9 - 0.01 * step}
        statistics = training.step(batch, Penalized(), hyper=hyper).statistics
        np.testing.assert_allclose(statistics["train/learning_rate"][0], 1e-4 * step, rtol=1e-6)
        losses.append(float(statistics["train/loss"][0]))
    assert counter.read().programs == 0
    assert len(set(losses)) == 4
    training.step(batch_of(), Scaled(0.5))
    counter.read()
    training.step(batch_of(), Scaled(0.6))
    assert counter.read().programs > 0


def test_hyper_when_it_moves_then_the_update_is_the_one_of_that_rate(
    make_training, batch_of, assert_bit_equal
):
    given, scheduled = make_training(), make_training()
    given.step(batch_of(), cross_entropy, hyper={"learning_rate": 1e-2 / 3})
    scheduled.step(batch_of(), cross_entropy)
    assert_bit_equal(given.weights().tree, scheduled.weights().tree)
    still = make_training()
    before = jax.tree.map(np.array, still.weights().tree)
    still.step(batch_of(), cross_entropy, hyper={"learning_rate": 0.0})
    assert_bit_equal(still.weights().tree, before)


def test_hyper_when_a_name_is_unknown_then_names_those_there(make_training, batch_of):
    with pytest.raises(
        ConfigError, match="hyper: lr cannot be moved here; legal are b1, b2, learning_rate, max_grad_norm"
    ):
        make_training().step(batch_of(), cross_entropy, hyper={"lr": 1.0})


@pytest.mark.parametrize("micro_batch_rows", ["all", 2])
def test_statistics_when_they_are_maxima_then_the_largest_of_all_micro_batches_is_kept(
    make_training, micro_batch_rows, batch_of
):
    training = make_training(micro_batch_rows=micro_batch_rows)
    expected = -training.score(batch_of(), ["logprobs"])["logprobs"].min()
    statistics = training.step(batch_of(), Penalized()).statistics
    np.testing.assert_allclose(statistics["train/worst"].value, expected, rtol=1e-6)
    stats = StatsTracker()
    stats += statistics
    stats += {"train/worst": Maximum(1e3)}
    assert stats.summary()["train/worst"] == 1e3


def test_weights_when_exported_twice_then_are_written_once_and_read_back(
    make_training, model, tmp_path, batch_of, assert_bit_equal
):
    training = make_training(tokenizer=ByteTokenizer())
    training.step(batch_of(), cross_entropy)
    weights = training.weights()
    directory = weights.export(tmp_path)
    written = (directory / "model.safetensors").stat().st_mtime_ns
    assert weights.export(tmp_path) == directory == tmp_path / "version_1"
    assert (directory / "model.safetensors").stat().st_mtime_ns == written
    assert_bit_equal(params_in(directory, model), jax.device_get(weights.tree))
    assert load_tokenizer(directory).vocab_size == 260
    training.step(batch_of(1), cross_entropy)
    assert training.weights().export(tmp_path) == tmp_path / "version_2"


def test_weights_when_another_trainer_has_written_that_version_then_they_replace_it(
    make_training, model, tmp_path, batch_of, assert_bit_equal
):
    for seed in (0, 1):
        training = make_training(tokenizer=ByteTokenizer())
        training.step(batch_of(seed), cross_entropy)
        directory = training.weights().export(tmp_path)
        assert_bit_equal(
            params_in(directory, model),
            jax.device_get(training.weights().tree),
        )


def test_gradient_when_it_waits_for_its_update_then_nothing_is_saved_and_other_weights_drop_it(
    make_training, batch_of
):
    training = make_training()
    training.forward_backward(batch_of(), cross_entropy)
    with pytest.raises(RuntimeError, match="would lose the gradient"):
        training.save_state()
    training.load_weights(jax.device_get(training.weights().tree))
    with pytest.raises(RuntimeError, match="no gradient to apply"):
        training.optim_step()

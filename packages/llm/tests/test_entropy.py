"""The entropy that a step reports, against all logits at once in numpy."""

from dataclasses import dataclass

import numpy as np
import pytest

from burnish.llm.batch import make_batch
from burnish.llm.config.family import Qwen2
from burnish.llm.config.optimizer import AdamW
from burnish.llm.config.training import JaxTraining
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.objective import cross_entropy
from burnish.llm.placement import place_params
from burnish.llm.sequence import TEMPERATURE, make_sample
from burnish.llm.testing import logits_of, scaled_params
from burnish.llm.training import TrainingContext
from burnish.platform.configuration.config import JaxConfig

ROWS, LENGTH, SCALE = 4, 10, 0.2


@pytest.fixture
def model(hf_config):
    return Qwen2().build(FamilyContext(hf_config=hf_config))


@pytest.fixture
def statistics(model, mesh):
    """Return what one step says of samples."""

    def make(samples, objective=cross_entropy, devices=(1, 1), **options):
        training = JaxTraining(**options).build(
            TrainingContext(
                model=model,
                load=lambda like: place_params(scaled_params(model, scale=SCALE), like),
                optimizer=AdamW(learning_rate=1e-3),
                total_steps=3,
                mesh=mesh(*devices),
                jax=JaxConfig(),
            )
        )
        batch = make_batch(samples, num_rows=ROWS, length=LENGTH, pad_token_id=60)
        return training.step(batch, objective).statistics

    return make


def ragged(temperature=None):
    """Samples of 2 prompt tokens and 1 to 7 that are learned."""
    rng = np.random.default_rng(0)
    lengths = [1, 7, 3, 4]
    columns = [{} if temperature is None else {TEMPERATURE: np.full(n, temperature)} for n in lengths]
    return [
        make_sample(rng.integers(0, 60, 2), rng.integers(0, 60, n), column)
        for n, column in zip(lengths, columns, strict=True)
    ]


def in_numpy(model, samples, temperature=1.0):
    """Return the mean of -sum(p log p) where a token is learned."""
    found = []
    for sample in samples:
        logits = logits_of(model, scaled_params(model, scale=SCALE), sample.tokens[None])[0]
        scaled = logits.astype(np.float64) / temperature
        logprobs = scaled - np.log(np.exp(scaled).sum(-1, keepdims=True))
        entropy = -(np.exp(logprobs) * logprobs).sum(-1)
        found += entropy[:-1][np.asarray(sample.columns["loss_weights"])[1:] > 0].tolist()
    assert np.std(found) > 0.05, "tokens that all say the same would hide which of them count"
    return np.mean(found)


def entropy_of(statistics):
    total, count = statistics["train/entropy"]
    return float(total) / float(count)


@pytest.mark.parametrize("temperature", [None, 0.5])
def test_entropy_of_a_step_equals_all_logits_in_numpy(model, statistics, temperature):
    samples = ragged(temperature)
    assert entropy_of(statistics(samples)) == pytest.approx(
        in_numpy(model, samples, temperature or 1.0), rel=1e-5
    )


def test_twin_another_temperature_has_another_entropy(model, statistics):
    samples = ragged(0.5)
    assert entropy_of(statistics(samples)) != pytest.approx(in_numpy(model, samples), rel=1e-2)


@pytest.mark.parametrize("options", [{"micro_batch_rows": 2}, {"logprob_chunk": 8}, {"devices": (2, 2)}])
def test_entropy_is_the_same_whatever_the_step_is_cut_into(statistics, options):
    whole, cut = entropy_of(statistics(ragged())), entropy_of(statistics(ragged(), **options))
    assert cut == pytest.approx(whole, rel=1e-6)


def test_a_step_reports_the_same_loss_and_gradient_as_one_whose_policy_is_asked_for_more(statistics):
    """The entropy is looked at and not learned from."""

    def with_entropy(policy, batch):
        values, others = cross_entropy(policy, batch)
        return values + 0 * policy.entropy(), others

    ours, theirs = statistics(ragged()), statistics(ragged(), with_entropy)
    for name in ("train/loss", "train/grad_norm"):
        np.testing.assert_allclose(ours[name][0], theirs[name][0], rtol=1e-6)


@dataclass(frozen=True)
class HiddenNorm:
    """An objective that asks for no prediction."""

    def __call__(self, policy, batch):
        del batch
        return (policy.hidden**2).sum(-1), {}


def test_an_objective_without_predictions_has_no_entropy(statistics):
    assert "train/entropy" not in statistics(ragged(), HiddenNorm())


def test_an_objective_that_reports_an_entropy_of_its_own_is_heard(statistics):
    def with_its_own(policy, batch):
        values, others = cross_entropy(policy, batch)
        return values, {**others, "entropy": (123.0, 1.0)}

    assert entropy_of(statistics(ragged(), with_its_own)) == 123.0

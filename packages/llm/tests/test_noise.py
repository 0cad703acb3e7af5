"""Noise is keyed by step, sample and position, never by a shape or a place."""

from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest

from burnish.llm.aggregation import BatchTotals


@dataclass(frozen=True)
class Noisy:
    """Cross-entropy weighed by noise: by token, or, in the twin, by place."""

    by_place: bool = False

    def __call__(self, policy, batch):
        noise = jax.vmap(jax.vmap(jax.random.uniform))(policy.keys())
        if self.by_place:
            noise = jax.random.uniform(policy.keys()[0, 0], batch.tokens.shape)
        return -policy.logprobs() * noise, {}


@pytest.mark.parametrize("by_place", [False, True])
def test_noise_when_rows_are_cut_packed_or_padded_then_stays_with_its_token(
    make_training, by_place, batch_of, samples_of
):
    samples, words = samples_of(0), (1, 2, 3, 4, 5)

    def loss(rows, micro_batch_rows="all", words=words, **options):
        training = make_training(micro_batch_rows=micro_batch_rows)
        batch = batch_of(rows=rows, length=36, **options)
        return float(training.step(batch, Noisy(by_place), key_words=words).statistics["train/loss"][0])

    plain = loss(samples)
    others = [
        loss(samples, micro_batch_rows=2),
        loss([samples[:3], samples[3:6], samples[6:]]),
        loss(samples, padding_side="left"),
    ]
    same = np.isclose(others, plain, rtol=1e-5)
    assert not same.any() if by_place else same.all()
    assert not np.isclose(loss(samples, words=(1, 2, 4, 4, 5)), plain, rtol=1e-3)


@pytest.mark.parametrize("is_numbered", [True, False])
def test_noise_when_samples_are_numbered_then_it_follows_them_through_orders_and_parts(
    make_training, is_numbered, batch_of, samples_of
):
    samples, words = samples_of(0), (1, 2, 3, 4, 5)
    if is_numbered:
        samples = [replace(sample, sample_id=number) for number, sample in enumerate(samples)]
    totals, half = BatchTotals.of(samples), len(samples) // 2

    def loss(*parts):
        training = make_training()
        for part in parts:
            batch = batch_of(rows=part, length=36, totals=totals)
            training.forward_backward(batch, Noisy(), key_words=words)
        return float(training.optim_step().statistics["train/loss"][0])

    plain = loss(samples)
    others = [loss(samples[::-1]), loss(samples[:half], samples[half:])]
    same = np.isclose(others, plain, rtol=1e-5)
    assert same.all() if is_numbered else not same.any()

"""Noise is keyed by step, sample and position, never by a shape or a place."""

from dataclasses import dataclass

import jax
import numpy as np
import pytest


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

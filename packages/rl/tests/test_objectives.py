"""Objectives against a numpy reference over fixed log-probabilities, and their gradients."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.batch import TokenBatch
from burnish.rl.objectives.clipped_policy_gradient import ClippedPolicyGradientObjective
from burnish.rl.objectives.mismatch import ABSOLUTE, K3, MeasuredObjective, only_first
from burnish.rl.objectives.policy_gradient import PolicyGradientObjective

pytestmark = pytest.mark.fast

ROWS, TOKENS = 3, 5
RANDOM = np.random.default_rng(0)
NEW = RANDOM.normal(-1.0, 0.5, (ROWS, TOKENS)).astype(np.float32)
OLD = RANDOM.normal(-1.0, 0.5, (ROWS, TOKENS)).astype(np.float32)
ADVANTAGES = RANDOM.normal(0.0, 1.0, (ROWS, TOKENS)).astype(np.float32)
WEIGHTS = np.array([[0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0]], np.float32) / 6
TRAINED = WEIGHTS != 0


@dataclass(frozen=True)
class GivenLogprobs:
    """A policy whose log-probabilities are a table."""

    table: jax.Array

    def logprobs(self):
        return self.table


CLIPPED = ClippedPolicyGradientObjective(0.2, 0.2)


def batch(advantages=ADVANTAGES, old=OLD, scalars=CLIPPED.scalars):
    integers = np.ones((ROWS, TOKENS), np.int32)
    names = ("tokens", "positions", "segment_ids", "sequences", "sample_ids")
    columns = {"weights": WEIGHTS, "advantages": advantages, "behavior_logprobs": old}
    return TokenBatch(**dict.fromkeys(names, integers), columns=columns, scalars=scalars)


def clipped_reference(new, old, advantages, low, high):
    ratio = np.exp(new - old)
    return -np.minimum(ratio * advantages, np.clip(ratio, 1 - low, 1 + high) * advantages)


@pytest.mark.parametrize(("low", "high"), [(0.2, 0.2), (0.2, 0.28), (0.05, 0.5)])
def test_clipped_policy_gradient_equals_the_reference(low, high):
    objective = ClippedPolicyGradientObjective(low, high)
    values, statistics = objective(GivenLogprobs(NEW), batch(scalars=objective.scalars))
    expected = clipped_reference(NEW, OLD, ADVANTAGES, low, high)
    np.testing.assert_allclose(np.where(TRAINED, values, 0), np.where(TRAINED, expected, 0), rtol=1e-5)
    ratio = np.exp(NEW - OLD)
    clipped = np.clip(ratio, 1 - low, 1 + high) * ADVANTAGES < ratio * ADVANTAGES
    total, count = statistics["policy/clip_fraction"]
    np.testing.assert_allclose([total, count], [clipped[TRAINED].sum(), TRAINED.sum()])


def test_twin_clipping_the_wrong_side_differs_from_the_reference():
    values, _ = CLIPPED(GivenLogprobs(NEW), batch())
    ratio = np.exp(NEW - OLD)
    wrong = -np.maximum(ratio * ADVANTAGES, np.clip(ratio, 0.8, 1.2) * ADVANTAGES)
    assert not np.allclose(np.where(TRAINED, values, 0), np.where(TRAINED, wrong, 0), rtol=1e-3)


def test_clipped_gradient_at_the_behavior_policy_is_the_policy_gradient():
    def loss(objective, table):
        values, _ = objective(GivenLogprobs(table), batch(old=NEW))
        return jnp.sum(values * WEIGHTS)

    clipped = jax.grad(lambda table: loss(CLIPPED, table))(jnp.array(NEW))
    plain = jax.grad(lambda table: loss(PolicyGradientObjective(), table))(jnp.array(NEW))
    np.testing.assert_allclose(clipped, plain, rtol=1e-5)
    np.testing.assert_allclose(plain, -ADVANTAGES * WEIGHTS, rtol=1e-6)


def test_clipped_gradient_is_zero_where_the_clip_binds():
    table = jnp.array(OLD + 1.0)
    gradient = jax.grad(
        lambda table: jnp.sum(CLIPPED(GivenLogprobs(table), batch(np.abs(ADVANTAGES)))[0] * WEIGHTS)
    )(table)
    assert not np.asarray(gradient).any()


def test_extreme_ratios_stay_finite():
    values, _ = CLIPPED(GivenLogprobs(NEW + 1e4), batch(-np.abs(ADVANTAGES)))
    assert np.isfinite(values).all()


def test_clip_ranges_are_scalars_of_one_objective():
    tight = ClippedPolicyGradientObjective(0.01, 0.02)
    assert tight == CLIPPED
    assert tight.scalars == {"clip_low": 0.01, "clip_high": 0.02}

    def values(objective, scalars):
        """Every ratio is 1.65, beyond both ranges."""
        return objective(GivenLogprobs(NEW), batch(np.abs(ADVANTAGES), NEW - 0.5, scalars))[0]

    np.testing.assert_array_equal(values(tight, CLIPPED.scalars), values(CLIPPED, CLIPPED.scalars))
    assert not np.allclose(values(tight, tight.scalars), values(tight, CLIPPED.scalars))


def test_objectives_name_the_columns_they_read():
    assert MeasuredObjective(PolicyGradientObjective()).columns == {"advantages", "behavior_logprobs"}
    assert MeasuredObjective(CLIPPED).scalars == CLIPPED.scalars


def test_mismatch_equals_the_reference_and_leaves_the_values_alone():
    inner = PolicyGradientObjective()
    values, statistics = MeasuredObjective(inner)(GivenLogprobs(NEW), batch())
    np.testing.assert_array_equal(values, inner(GivenLogprobs(NEW), batch())[0])
    difference = (NEW - OLD)[TRAINED].astype(np.float64)
    np.testing.assert_allclose(statistics[ABSOLUTE][0], np.abs(difference).sum(), rtol=1e-5)
    np.testing.assert_allclose(statistics[K3][0], (np.exp(difference) - difference - 1).sum(), rtol=1e-4)
    assert statistics[K3][1] == TRAINED.sum()


def test_mismatch_is_zero_for_the_behavior_policy():
    _, statistics = MeasuredObjective(PolicyGradientObjective())(GivenLogprobs(OLD), batch())
    assert float(statistics[ABSOLUTE][0]) == 0.0
    assert float(statistics[K3][0]) == 0.0


def test_only_the_first_update_of_a_rollout_reports_a_mismatch():
    statistics = {ABSOLUTE: (1.0, 1.0), K3: (1.0, 1.0), "train/loss": (1.0, 1.0)}
    assert only_first(0, statistics) == statistics
    assert only_first(1, statistics) == {"train/loss": (1.0, 1.0)}

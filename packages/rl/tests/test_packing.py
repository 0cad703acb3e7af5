"""Objectives of reinforcement learning on rows of several completions, packed or sharing their prompt."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm import testing
from burnish.llm.batch import make_batch
from burnish.llm.objective import columns_for, evaluate, scalars_of
from burnish.llm.policy import policy_of
from burnish.llm.sequence import TEMPERATURE, make_sample
from burnish.rl.objectives.clipped_policy_gradient import ClippedPolicyGradientObjective
from burnish.rl.objectives.mismatch import MeasuredObjective
from burnish.rl.objectives.policy_gradient import PolicyGradientObjective

OBJECTIVES = [PolicyGradientObjective(), MeasuredObjective(ClippedPolicyGradientObjective(0.2, 0.28))]
MODEL = testing.tiny_qwen2(vocab_size=61)


def groups():
    """Two to five completions of each of four prompts, sampled at a temperature of 0.7."""
    rng = np.random.default_rng(0)
    prompts = {size: rng.integers(0, 60, 3) for size in (2, 3, 5, 4)}
    return [[_sample(rng, prompt) for _ in range(size)] for size, prompt in prompts.items()]


def _sample(rng, prompt):
    length = int(rng.integers(1, 6))
    columns = {
        "advantages": rng.normal(size=length),
        "behavior_logprobs": rng.normal(-4, 0.5, length),
        TEMPERATURE: np.full(length, 0.7),
    }
    return make_sample(prompt, rng.integers(0, 60, length), columns, is_sampled=True)


def measured(objective, rows, aggregation, break_batch=None, **options):
    """Return loss and gradient leaves of one batch."""
    first = [rows[0] if not isinstance(rows[0], list) else rows[0][0]]
    batch = make_batch(
        rows,
        num_rows=len(rows),
        length=40,
        pad_token_id=60,
        aggregation=aggregation,
        columns=columns_for(objective, first),
        max_length=6,
        **options,
    )
    batch = replace(batch if break_batch is None else break_batch(batch), scalars=scalars_of(objective))
    params = jax.tree.map(jnp.asarray, testing.scaled_params(MODEL, scale=0.2))
    loss = jax.jit(
        jax.value_and_grad(lambda params: evaluate(objective, policy_of(MODEL, params, batch), batch)[0])
    )
    return jax.tree.leaves(loss(params))


def distance(ours, theirs):
    pairs = zip(ours, theirs, strict=True)
    return max(float(jnp.linalg.norm(one - other) / jnp.linalg.norm(other)) for one, other in pairs)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: type(objective).__name__)
@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean", "constant"])
def test_packed_rows_equal_one_completion_a_row(objective, aggregation):
    apart = measured(objective, [sample for group in groups() for sample in group], aggregation)
    for shares_prefixes in (False, True):
        packed = measured(objective, groups(), aggregation, shares_prefixes=shares_prefixes)
        assert distance(packed, apart) <= 1e-5


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: type(objective).__name__)
def test_twin_completions_that_see_each_other_are_noticed(objective):
    def see_everyone(batch):
        return replace(batch, visible_until=np.full_like(batch.visible_until, 40))

    packed = measured(objective, groups(), "token_mean", shares_prefixes=True)
    broken = measured(objective, groups(), "token_mean", see_everyone, shares_prefixes=True)
    assert distance(broken, packed) > 1e-2

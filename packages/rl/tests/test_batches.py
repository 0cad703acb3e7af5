import numpy as np
import pytest

from burnish.rl.advantages.group_mean import GroupMeanAdvantage
from burnish.rl.batches import BatchLayout, make_batches
from burnish.rl.objectives.clipped_policy_gradient import ClippedPolicyGradientObjective

pytestmark = pytest.mark.fast

ADVANTAGE = GroupMeanAdvantage(is_scaled=False)
OBJECTIVE = ClippedPolicyGradientObjective(0.2, 0.2)


def layout(**changes):
    defaults = {
        "prompts_per_step": 4,
        "samples_per_prompt": 3,
        "updates_per_rollout": 2,
        "length": 8,
        "max_new_tokens": 6,
        "pad_token_id": 0,
        "aggregation": "token_mean",
    }
    return BatchLayout(**(defaults | changes))


def test_updates_share_the_prompts_in_order(group):
    groups = [group(i, [1.0, 0.0, 0.5]) for i in range(4)]
    first, second = make_batches(layout(), groups, ADVANTAGE(groups), OBJECTIVE)
    assert first.tokens.shape == second.tokens.shape == (6, 8)
    np.testing.assert_allclose(first.weights.sum(), 1.0, rtol=1e-6)


def test_filtered_groups_leave_padded_rows_of_weight_zero(group):
    groups = [group(1, [1.0, 0.0, 0.5]), group(2, [1.0, 0.0, 0.5])]
    batches = list(make_batches(layout(), groups, ADVANTAGE(groups), OBJECTIVE))
    assert [batch.tokens.shape for batch in batches] == [(6, 8), (6, 8)]
    for batch in batches:
        assert (batch.weights[3:] == 0).all()
        assert (batch.segment_ids[3:] == 0).all()


def test_an_update_without_samples_is_left_out(group):
    groups = [group(3, [1.0, 0.0, 0.5])]
    assert len(list(make_batches(layout(), groups, ADVANTAGE(groups), OBJECTIVE))) == 1
    assert list(make_batches(layout(), [], [], OBJECTIVE)) == []


def test_advantages_stand_on_completion_tokens_only(group):
    groups = [group(0, [1.0, 0.0, 0.5])]
    (batch,) = make_batches(layout(), groups, ADVANTAGE(groups), OBJECTIVE)
    np.testing.assert_allclose(batch.columns["advantages"][0, :3], [0, 0, 0.5])
    np.testing.assert_allclose(batch.columns["behavior_logprobs"][1, :4], [0, 0, -0.5, -0.5])


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean", "constant"])
def test_failed_samples_have_no_row(group, aggregation):
    with_failure, without = [group(0, [1.0, None, 0.5])], [group(0, [1.0, 0.0, 0.5])]
    (batch,) = make_batches(layout(aggregation=aggregation), with_failure, ADVANTAGE(with_failure), OBJECTIVE)
    (full,) = make_batches(layout(aggregation=aggregation), without, ADVANTAGE(without), OBJECTIVE)
    assert (batch.weights.any(axis=1)).sum() == 2
    assert (full.weights.any(axis=1)).sum() == 3

"""Each estimator against its formula by hand, its invariances, and a group with a failed sample."""

import numpy as np
import pytest

from burnish.platform.errors import ComponentError
from burnish.rl.advantages.batch_mean import BatchMeanAdvantage
from burnish.rl.advantages.group_mean import EPSILON, GroupMeanAdvantage
from burnish.rl.advantages.leave_one_out import leave_one_out
from burnish.rl.advantages.protocol import estimate

pytestmark = pytest.mark.fast

ESTIMATORS = {
    "grpo": GroupMeanAdvantage(is_scaled=True),
    "dr_grpo": GroupMeanAdvantage(is_scaled=False),
    "rloo": leave_one_out,
    "reinforce": BatchMeanAdvantage(is_scaled=True),
    "reinforce_unscaled": BatchMeanAdvantage(is_scaled=False),
}


def firsts(advantages):
    return [[float(tokens[-1]) for tokens in group] for group in advantages]


def test_group_mean_by_hand(group):
    values = firsts(ESTIMATORS["grpo"]([group(0, [1.0, 0.0, 0.0, 1.0])]))
    std = np.sqrt(4 * 0.25 / 3)
    np.testing.assert_allclose(
        values, [[0.5 / (std + EPSILON), *[-0.5 / (std + EPSILON)] * 2, 0.5 / (std + EPSILON)]], rtol=1e-6
    )


def test_group_mean_unscaled_by_hand(group):
    assert firsts(ESTIMATORS["dr_grpo"]([group(0, [1.0, 0.0, 0.0, 1.0])])) == [[0.5, -0.5, -0.5, 0.5]]


def test_leave_one_out_equals_reward_minus_mean_of_the_others(group):
    rewards = np.array([0.3, 1.0, -2.0, 0.25])
    others = [(rewards.sum() - reward) / 3 for reward in rewards]
    np.testing.assert_allclose(firsts(leave_one_out([group(0, rewards)]))[0], rewards - others, rtol=1e-6)


def test_batch_mean_compares_over_all_groups(group):
    values = firsts(ESTIMATORS["reinforce_unscaled"]([group(0, [1.0, 1.0]), group(1, [0.0, 0.0])]))
    assert values == [[0.5, 0.5], [-0.5, -0.5]]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_completion_token_gets_its_samples_value(group, name):
    for tokens_of_group in ESTIMATORS[name]([group(0, [1.0, 0.0, 0.5])]):
        assert [len(tokens) for tokens in tokens_of_group] == [3, 4, 5]
        assert all(np.ptp(tokens[2:]) == 0 for tokens in tokens_of_group)
        assert not any(tokens[:2].any() for tokens in tokens_of_group), "nobody sampled the prompt"


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("size", range(2, 12))
def test_equal_rewards_give_exactly_zero(group, name, size):
    rewards = [0.1 + 0.2] * size
    assert firsts(ESTIMATORS[name]([group(0, rewards)])) == [[0.0] * size]


def test_twin_a_mean_of_equal_numbers_is_not_always_that_number():
    assert any((np.full(size, 0.1 + 0.2) != np.full(size, 0.1 + 0.2).mean()).any() for size in range(2, 12))


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "rloo"])
def test_a_permutation_within_the_group_permutes_the_advantages(group, name):
    rewards = np.array([0.0, 1.0, 0.25, 3.0])
    order = np.array([2, 0, 3, 1])
    straight = np.array(firsts(ESTIMATORS[name]([group(0, rewards)]))[0])
    permuted = np.array(firsts(ESTIMATORS[name]([group(0, rewards[order])]))[0])
    np.testing.assert_allclose(permuted, straight[order], rtol=1e-6)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_failed_sample_takes_no_part_in_the_baseline(group, name):
    with_failure = firsts(ESTIMATORS[name]([group(0, [1.0, None, 0.0, 0.5])]))
    np.testing.assert_allclose(with_failure, firsts(ESTIMATORS[name]([group(0, [1.0, 0.0, 0.5])])), rtol=1e-6)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_twin_a_failure_counted_as_zero_moves_the_baseline(group, name):
    as_zero = firsts(ESTIMATORS[name]([group(0, [1.0, 0.0, 0.0, 0.5])]))[0]
    kept = [as_zero[0], as_zero[2], as_zero[3]]
    assert not np.allclose(kept, firsts(ESTIMATORS[name]([group(0, [1.0, 0.0, 0.5])]))[0], rtol=1e-3)


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "rloo"])
def test_a_sample_alone_in_its_group_gets_zero(group, name):
    assert firsts(ESTIMATORS[name]([group(0, [1.0, None])])) == [[0.0]]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_group_without_scored_samples_gives_none(group, name):
    assert ESTIMATORS[name]([group(0, [None, None])]) == [[]]


def test_advantages_that_can_be_gone_through_once_arrive(group):
    groups = [group(0, [1.0, 0.0])]
    estimated = estimate(lambda groups: (iter(leave_one_out([one])[0]) for one in groups), groups)
    assert [[tokens.tolist() for tokens in one] for one in estimated] == [
        [tokens.tolist() for tokens in one] for one in leave_one_out(groups)
    ]


def test_advantages_of_ragged_numbers_are_refused_with_their_shape(group):
    with pytest.raises(ComponentError, match=r"returns advantages of shapes 1 groups, the first of \[None, "):
        estimate(lambda _: [[[[1.0], [1.0, 2.0]], [0.0]]], [group(0, [1.0, 0.0])])

"""What is scored, what is left out, and that every completion is accounted for."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from burnish.llm.sequence import make_sample
from burnish.platform.statistics.tracker import StatsTracker
from burnish.rl.advantages.group_mean import GroupMeanAdvantage
from burnish.rl.filtering import Filtering
from burnish.rl.filters.uniform_reward import uniform_reward
from burnish.rl.groups import Group, rows
from burnish.rl.scoring import Scoring
from burnish.sample.rewards.failures import FirstFailures
from burnish.sample.rewards.protocol import RewardResult

pytestmark = pytest.mark.fast

COLUMNS = {"behavior_logprobs": [-1.0]}


def unscored(*texts_of_groups: str) -> list[Group]:
    """One group per text, one sample per letter, whose completion is that letter."""
    return [
        Group(
            number,
            tuple(make_sample([1], [2], COLUMNS, is_sampled=True, completion=letter) for letter in text),
        )
        for number, text in enumerate(texts_of_groups)
    ]


def digits(samples):
    """The digit itself; a letter makes it raise."""
    return [RewardResult(float(sample.completion)) for sample in samples]


async def slow_on_s(samples):
    """The digit itself; an `s` takes longer than anybody waits."""
    if samples[0].completion == "s":
        await asyncio.sleep(60)
    return digits(samples)


def selection(reward=digits, *, filters=(), say=lambda _: None, **changes) -> tuple[Scoring, Filtering]:
    defaults = {
        "rewards": {"digit": reward},
        "reward_weights": {},
        "timeout_seconds": 0.05,
        "failures": FirstFailures(say, "reward/failed"),
    }
    return Scoring(**(defaults | changes)), Filtering(dict(filters))


def scored_and_kept(chosen: tuple[Scoring, Filtering], groups: list[Group]):
    stats, (scoring, filtering) = StatsTracker(), chosen
    scored, _ = scoring(groups, stats)
    kept = filtering(scored, sum(len(group.samples) for group in groups), stats)
    return scored, kept, stats.summary()


@pytest.mark.parametrize(
    ("reward", "bad", "reason"), [(digits, "x", "ValueError"), (slow_on_s, "s", "timeout")]
)
def test_a_reward_that_raises_or_times_out_counts_as_failed_and_never_as_zero(reward, bad, reason):
    scored, kept, stats = scored_and_kept(selection(reward), unscored(f"1{bad}3"))
    assert [sample.reward for sample in scored[0].samples] == [1.0, None, 3.0]
    assert [sample.status for sample in scored[0].samples] == ["stop", "failed", "stop"]
    assert stats["reward/mean"] == stats["reward/digit"] == 2.0
    assert stats["reward/failed"] == 1
    assert stats[f"reward/failed/digit/{reason}"] == 1
    assert (stats["accounting/failed"], stats["accounting/trained"]) == (1, 2)
    assert kept == scored


def test_a_reward_that_fails_is_told_of_once_with_its_line():
    told = []
    scoring, _ = selection(say=told.append)
    for texts in ("123", "1xy", "xyz2", "1x3"):
        assert scoring(unscored(texts), StatsTracker())[1] is None
    (line,) = told
    number = digits.__code__.co_firstlineno
    assert line == (
        f"reward 'digit' ({__name__}:digits, {__file__}:{number}) failed on 2 of 3 "
        f"completions: ValueError: could not convert string to float: 'x' ({__file__}:{number + 2}); "
        "what fails is left out, and counted in reward/failed"
    )


def test_a_rollout_without_any_reward_is_a_reason_to_stop_with_all_there_is_to_say():
    told = []

    def silent(samples):
        return [None] * len(samples)

    scoring, _ = selection(rewards={"digit": digits, "silent": silent}, say=told.append)
    _, reason = scoring(unscored("xx", "y"), StatsTracker())
    number = digits.__code__.co_firstlineno
    assert reason == (
        f"no completion of the rollout could be rewarded: reward 'digit' ({__name__}:digits, "
        f"{__file__}:{number}) failed on 3 of 3 completions: ValueError: could not convert string to float: "
        f"'x' ({__file__}:{number + 2}); reward 'silent' has nothing to say about any of 3 completions; "
        "mend what fails"
    )
    assert told == []
    _, reason = scoring(
        [
            replace(group, samples=[replace(each, status="failed") for each in group.samples])
            for group in unscored("12")
        ],
        StatsTracker(),
    )
    assert reason is not None
    assert "the engine failed on all of 2 completions" in reason


def test_what_a_reward_is_not_shown_is_not_counted_where_it_has_nothing_to_say():
    scoring, _ = selection(rewards={"silent": lambda samples: [None] * len(samples)})
    (group,) = unscored("123")
    first, *others = group.samples
    _, reason = scoring([replace(group, samples=[replace(first, status="failed"), *others])], StatsTracker())
    assert reason is not None
    assert "reward 'silent' has nothing to say about any of 2 completions" in reason


@pytest.mark.parametrize(("reward", "bad"), [(digits, "x"), (slow_on_s, "s")])
def test_a_failed_sample_takes_no_part_in_the_baseline_of_its_group(reward, bad):
    _, kept, _ = scored_and_kept(selection(reward), unscored(f"1{bad}3"))
    _, without, _ = scored_and_kept(selection(), unscored("13"))
    _, as_zero, _ = scored_and_kept(selection(), unscored("103"))
    advantage = GroupMeanAdvantage(is_scaled=False)
    values, expected, twin = (np.concatenate(advantage(groups)[0]) for groups in (kept, without, as_zero))
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(values, [0, -1, 0, 1])
    assert not np.allclose(values, twin[[0, 1, 4, 5]]), "a failure that counts as zero would be seen"


def test_a_group_that_failed_as_a_whole_is_not_learned_from():
    scored, kept, stats = scored_and_kept(selection(), unscored("xx", "12"))
    assert [group.group_id for group in kept] == [1]
    assert scored[0].scored == ()
    assert (stats["accounting/submitted"], stats["accounting/failed"], stats["accounting/trained"]) == (
        4,
        2,
        2,
    )


def test_several_rewards_are_summed_by_their_weights():
    def ones(samples):
        return [RewardResult(1.0) for _ in samples]

    chosen = selection(rewards={"digit": digits, "one": ones}, reward_weights={"one": 0.5})
    scored, _, stats = scored_and_kept(chosen, unscored("12"))
    assert [sample.reward for sample in scored[0].samples] == [1.5, 2.5]
    assert (stats["reward/digit"], stats["reward/one"], stats["reward/mean"]) == (1.5, 1.0, 2.0)


def test_the_spread_of_rewards_equals_numpy():
    _, _, stats = scored_and_kept(selection(), unscored("1269", "5x7", "8", "xx"))
    assert stats["reward/std"] == pytest.approx(np.std([1, 2, 6, 9, 5, 7, 8], ddof=1), rel=1e-12)
    groups = [np.std([1, 2, 6, 9], ddof=1), np.std([5, 7], ddof=1)]
    assert stats["reward/group_std"] == pytest.approx(np.mean(groups), rel=1e-12)
    assert stats["reward/std"] != pytest.approx(stats["reward/group_std"], rel=0.1), (
        "they say different things"
    )


@pytest.mark.parametrize("texts", [("1",), ("1", "xx"), ("xx",), ()])
def test_rewards_too_few_to_differ_have_no_spread(texts):
    _, _, stats = scored_and_kept(selection(), unscored(*texts))
    assert not {"reward/std", "reward/group_std"} & stats.keys()


def test_filters_leave_groups_out_by_the_first_reason_given():
    def has_nine(group):
        return "has_nine" if 9.0 in group.rewards else None

    chosen = selection(filters={"uniform": uniform_reward, "nine": has_nine})
    _, kept, stats = scored_and_kept(chosen, unscored("11", "12", "99", "19", "1x"))
    assert [group.group_id for group in kept] == [1]
    assert stats["accounting/filtered_uniform_reward"] == 5, "11, 99, and the 1 whose mate failed"
    assert stats["accounting/filtered_has_nine"] == 2
    assert stats["accounting/filtered"] == 7
    assert stats["reward/mixed_groups"] == pytest.approx(2 / 5)


@pytest.mark.parametrize("texts", [("11", "1x", "xx", "12"), ("xx",), ("12", "34"), ()])
def test_every_completion_is_accounted_for(texts):
    _, _, stats = scored_and_kept(selection(filters={"uniform": uniform_reward}), unscored(*texts))
    parts = ("trained", "filtered", "stale", "failed", "in_flight")
    assert stats["accounting/submitted"] == 2 * len(texts)
    assert stats["accounting/submitted"] == sum(stats[f"accounting/{part}"] for part in parts)


def test_rows_say_what_was_asked_written_and_worth():
    scored, _, _ = scored_and_kept(selection(), unscored("1x"))
    scored = [replace(scored[0], samples=tuple(replace(s, prompt="p") for s in scored[0].samples))]
    first, second = rows(scored)
    assert (first["prompt"], first["completion"], first["reward"], first["status"]) == ("p", "1", 1.0, "stop")
    assert (second["reward"], second["status"]) == (None, "failed")


def test_twin_a_completion_that_the_rollout_loses_breaks_the_identity():
    stats = StatsTracker()
    scoring, filtering = selection()
    scored, _ = scoring(unscored("123"), stats)
    with pytest.raises(AssertionError, match="4 submitted, 3 accounted for"):
        filtering(scored, 4, stats)

"""Scoring: what fails is failed, for the samples that fail alone, and never a zero."""

import asyncio
import functools
import json
import math
import re
import time
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest

from burnish.platform.errors import ComponentError, ConfigError
from burnish.sample.rewards.protocol import RewardResult
from burnish.sample.rewards.score import score

pytestmark = pytest.mark.fast


def length_reward(samples):
    return [RewardResult(float(len(sample.completion))) for sample in samples]


def one_reward(samples):
    return [RewardResult(1.0) for _ in samples]


def raises_on_bad(samples):
    if any(sample.completion == "bad" for sample in samples):
        raise ValueError("cannot parse 'bad'")
    return [RewardResult(1.0) for _ in samples]


def zero_on_bad(samples):
    return [RewardResult(float(sample.completion != "bad")) for sample in samples]


async def slow_on_bad(samples):
    await asyncio.sleep(30 if samples[0].completion == "bad" else 0)
    return [RewardResult(1.0)]


class AsyncCallable:
    async def __call__(self, samples):
        return [RewardResult(float(len(sample.completion))) for sample in samples]


@pytest.fixture
def three_samples(make_samples):
    return make_samples(("good", "1"), ("bad", "1"), ("fine", "1"))


def _assert_bad_failed(scored, name, reason):
    good, bad, fine = scored.samples
    assert (good.reward, fine.reward) == (1.0, 1.0)
    assert bad.reward is None
    assert bad.status == "failed"
    assert bad.rewards == {}
    assert scored.num_failed == 1
    assert scored.failures == Counter({(name, reason): 1})
    summary = scored.stats("reward").summary()
    assert summary[f"reward/{name}"] == 1.0
    assert summary["reward/failed"] == 1.0
    assert summary[f"reward/failed/{name}/{reason}"] == 1.0


def test_reward_that_raises_fails_its_sample_alone(three_samples):
    scored = score(three_samples, {"picky": raises_on_bad})
    _assert_bad_failed(scored, "picky", "ValueError")
    line = raises_on_bad.__code__.co_firstlineno + 2
    assert scored.results["picky"][1].reason == f"ValueError: cannot parse 'bad' ({__file__}:{line})"
    assert math.isnan(scored.results["picky"][1].value)


def _reads(text):
    return json.loads(text)


def reads_json(samples):
    return [_reads(sample.completion) for sample in samples]


async def awaits_json(samples):
    return reads_json(samples)


@pytest.mark.parametrize("reward", [reads_json, awaits_json, functools.partial(reads_json)])
def test_an_error_is_told_with_the_innermost_line_of_its_authors_file(make_samples, reward):
    """And not with a line of the library that raises it."""
    scored = score(make_samples(("{", "1")), {"json": reward})
    line = _reads.__code__.co_firstlineno + 1
    reason = scored.results["json"][0].reason
    assert reason.startswith("JSONDecodeError: Expecting property name")
    assert reason.endswith(f" ({__file__}:{line})")


def test_an_error_without_a_message_or_of_the_call_itself_is_told_too(make_samples):
    def empty(_):
        raise AssertionError

    def of_nothing():
        return []

    samples = make_samples(("a", "1"))
    line = empty.__code__.co_firstlineno + 1
    assert score(samples, {"r": empty}).results["r"][0].reason == f"AssertionError: ({__file__}:{line})"
    assert score(samples, {"r": empty}).failures == {("r", "AssertionError"): 1}
    reason = score(samples, {"r": of_nothing}).results["r"][0].reason
    assert reason.endswith("of_nothing() takes 0 positional arguments but 1 was given")


def test_failure_counted_as_zero_fails(three_samples):
    with pytest.raises(AssertionError):
        _assert_bad_failed(score(three_samples, {"picky": zero_on_bad}), "picky", "ValueError")


def test_async_reward_past_its_timeout_fails_its_sample_alone(three_samples):
    started = time.perf_counter()
    scored = score(three_samples, {"slow": slow_on_bad}, timeout_seconds=0.2)
    assert time.perf_counter() - started < 10
    _assert_bad_failed(scored, "slow", "timeout")


def test_async_callable_inside_running_loop_is_awaited(three_samples):
    async def inside():
        return score(three_samples, {"length": AsyncCallable()})

    assert [sample.reward for sample in asyncio.run(inside()).samples] == [4.0, 3.0, 4.0]


def test_async_reward_that_raises_fails_its_sample_alone(three_samples):
    async def picky(samples):
        return raises_on_bad(samples)

    _assert_bad_failed(score(three_samples, {"picky": picky}), "picky", "ValueError")


def test_values_that_are_not_finite_fail(three_samples):
    def broken(samples):
        return [RewardResult(math.inf if sample.completion == "bad" else 1.0) for sample in samples]

    _assert_bad_failed(score(three_samples, {"broken": broken}), "broken", "not_finite")


def test_several_rewards_are_summed_by_weight_and_kept_apart(three_samples):
    rewards = {"length": length_reward, "one": one_reward}
    scored = score(three_samples, rewards, weights={"length": 0.5})
    assert [sample.reward for sample in scored.samples] == [3.0, 2.5, 3.0]
    assert scored.samples[1].rewards == {"length": 3.0, "one": 1.0}
    assert scored.stats("reward").summary() == {
        "reward/length": pytest.approx(11 / 3),
        "reward/one": 1.0,
        "reward/failed": 0.0,
    }


def test_sample_that_one_of_two_rewards_fails_on_has_no_reward_but_the_other_value(three_samples):
    scored = score(three_samples, {"length": length_reward, "picky": raises_on_bad})
    assert [sample.reward for sample in scored.samples] == [5.0, None, 5.0]
    assert scored.samples[1].rewards == {"length": 3.0}


def test_sample_the_engine_failed_on_is_shown_to_no_reward(make_samples):
    seen = []

    def watch(samples):
        seen.extend(sample.completion for sample in samples)
        return one_reward(samples)

    samples = [*make_samples(("good", "1")), *make_samples(("torn", "1"), status="failed")]
    scored = score(samples, {"watch": watch})
    assert seen == ["good"]
    assert [sample.reward for sample in scored.samples] == [1.0, None]
    assert scored.failures == Counter({("watch", "engine"): 1})


def test_weight_of_unknown_reward_is_refused(three_samples):
    with pytest.raises(ConfigError, match="weights name width, but the rewards are length"):
        score(three_samples, {"length": length_reward}, weights={"width": 1.0})


@pytest.mark.parametrize(
    "returned",
    [
        [1, 0.5, True],
        np.array([1, 0.5, 1], np.float32),
        [np.float32(1), np.array([0.5]), np.int64(1)],
        jnp.array([1, 0.5, 1]),
        [jnp.float32(1), Decimal("0.5"), Fraction(1)],
        (RewardResult(1), RewardResult(0.5), 1),
    ],
    ids=str,
)
def test_numbers_of_any_kind_are_scores(three_samples, returned):
    scored = score(three_samples, {"plain": lambda _: returned})
    assert [sample.reward for sample in scored.samples] == [1, 0.5, 1]


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ([1.0], "1 results for 3 samples"),
        (np.float64(1.0), "1 results for 3 samples"),
        ("abc", "a str for 3 samples"),
        pytest.param((number for number in range(3)), "a generator for 3 samples", id="generator"),
        ({"a": 1, "b": 2, "c": 3}, "a dict for 3 samples"),
        (None, "a NoneType for 3 samples"),
        (["1", b"1", [1]], "'1', a str, for a sample"),
        ([1j, np.array([1.0, 2.0]), np.array("x")], "1j, a complex, for a sample"),
    ],
    ids=str,
)
def test_a_reward_that_returns_nothing_readable_is_refused_by_its_place(three_samples, returned, said):
    def odd(_):
        return returned

    with pytest.raises(ComponentError) as refused:
        score(three_samples, {"odd": odd, "one": one_reward})
    line = odd.__code__.co_firstlineno
    assert re.fullmatch(
        rf"reward 'odd' \([\w.]*test_score:\S+odd, \S+test_score.py:{line}\): it returned {re.escape(said)}; "
        "make it return a list with one number, or None, for each sample",
        str(refused.value),
    )
    assert score(three_samples, {"odd": lambda _: [1, None, 2.5], "one": one_reward}).num_failed == 0


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (["1", 1, 1], "no_number"),
        ([float("nan"), 1, 1], "not_finite"),
        ([RewardResult(math.nan, "failed", "offline: no answer"), 1, 1], "offline"),
    ],
    ids=str,
)
def test_twin_what_is_wrong_with_one_sample_fails_that_one(three_samples, returned, reason):
    scored = score(three_samples, {"odd": lambda _: returned, "one": one_reward})
    assert scored.failures == {("odd", reason): 1}
    assert [sample.reward for sample in scored.samples] == [None, 2, 2]


@pytest.mark.parametrize("nothing", [None, RewardResult(math.nan, "silent")], ids=["None", "silent"])
def test_a_reward_with_nothing_to_say_is_left_out_of_the_sum(three_samples, nothing):
    rewards = {"some": lambda _: [3, nothing, np.float32(5)], "one": one_reward}
    scored = score(three_samples, rewards, weights={"some": 2.0})
    assert [sample.reward for sample in scored.samples] == [7, 1, 11]
    assert dict(scored.samples[1].rewards) == {"one": 1}
    assert scored.failures == {}
    assert scored.stats("reward").summary() == {"reward/some": 4, "reward/one": 1, "reward/failed": 0}


def test_a_sample_that_no_reward_has_anything_to_say_about_is_left_out(three_samples):
    scored = score(three_samples, {"first": lambda _: [1, None, None], "second": lambda _: [None, None, 0]})
    assert [sample.reward for sample in scored.samples] == [1, None, 0]
    assert [sample.status for sample in scored.samples] == ["stop", "failed", "stop"]
    assert scored.failures == {("first", "none"): 1, ("second", "none"): 1}
    assert scored.stats("reward").summary()["reward/failed"] == 1


def test_a_failure_weighs_more_than_silence(three_samples):
    scored = score(three_samples, {"silent": lambda _: [None, 1, None], "picky": raises_on_bad})
    assert [sample.reward for sample in scored.samples] == [1, None, 1]
    assert scored.failures == {("picky", "ValueError"): 1}


async def odd_later(_):
    return "one"


def test_an_asynchronous_reward_is_read_like_any_other(three_samples):
    assert score(three_samples, {"odd": odd_later}).failures == {("odd", "no_list"): 3}


def test_no_samples_score_nothing():
    assert score([], {"one": one_reward}).samples == []

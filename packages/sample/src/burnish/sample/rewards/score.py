"""Scoring: several rewards over many samples, where what fails is counted as failed and never as zero."""

import asyncio
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from burnish.llm.sequence import Sample
from burnish.platform.configuration.registry import maker_of
from burnish.platform.errors import BurnishError, ComponentError, ConfigError
from burnish.platform.statistics.tracker import StatsTracker
from burnish.sample.rewards.by_columns import with_all_columns
from burnish.sample.rewards.overdue import in_daemon_thread, told_when_overdue
from burnish.sample.rewards.protocol import AsyncReward, Reward, RewardResult, failed, is_async
from burnish.sample.rewards.results import UNREADABLE, read_results
from burnish.sample.rewards.source_place import place_of, raised_by

_GRACE = 1.5
"""Times the timeout after which an asynchronous reward that does not yield to it is overdue."""

ENGINE_FAILED = failed("engine: the completion failed")


@dataclass(frozen=True)
class Scored:
    """Samples with their rewards filled in, in their order, and what each reward said of each.

    A sample that any reward failed on, or that none has anything to say about, has `status` "failed" and
    `reward` None; `rewards` holds those values that there are. `failures` counts (reward, first word of the
    reason).
    """

    samples: list[Sample]
    results: Mapping[str, list[RewardResult]]
    failures: Counter[tuple[str, str]]

    @property
    def num_failed(self) -> int:
        """Samples without a reward."""
        return sum(sample.reward is None for sample in self.samples)

    def stats(self, prefix: str) -> StatsTracker:
        """Return `<prefix>/<reward>`, the mean over scored samples, and how many failed, by reason."""
        tracker = StatsTracker()
        for name, results in self.results.items():
            values = [result.value for result in results if result.status == "scored"]
            tracker.ratio(f"{prefix}/{name}", math.fsum(values), len(values))
        tracker.sum(f"{prefix}/failed", self.num_failed)
        for (name, reason), count in self.failures.items():
            tracker.sum(f"{prefix}/failed/{name}/{reason}", count)
        return tracker


def score(
    samples: Sequence[Sample],
    rewards: Mapping[str, Reward | AsyncReward],
    *,
    weights: Mapping[str, float] | None = None,
    timeout_seconds: float = 60.0,
) -> Scored:
    """Return the samples with `reward` set to the weighted sum of `rewards`, each of weight 1 if not given.

    A reward that says None of a sample is left out of its sum. One that raises costs the samples that make it
    raise; an asynchronous one that takes longer than `timeout_seconds` for a sample costs that sample, a
    synchronous one is told of on stderr and waited for; what is no finite number costs its sample. Samples
    that the engine failed on are shown to no reward.

    Raises `ConfigError` for a weight of a reward that there is not, and for a column that a reward needs and
    no sample has; `ComponentError` for a synchronous reward that returns anything but a list of as many
    results, or not one that is a number or None. An error of burnish that a reward raises ends the scoring.
    """
    factors = _factors(rewards, weights or {})
    alive = [index for index, sample in enumerate(samples) if sample.status != "failed"]
    results: dict[str, list[RewardResult]] = {}
    for name, reward in rewards.items():
        column = [ENGINE_FAILED] * len(samples)
        scored = _run(name, reward, [samples[index] for index in alive], timeout_seconds)
        for index, result in zip(alive, scored, strict=True):
            column[index] = result
        results[name] = column
    verdicts = [{name: column[index] for name, column in results.items()} for index in range(len(samples))]
    rows = [_with_rewards(*pair, factors) for pair in zip(samples, verdicts, strict=True)]
    return Scored(rows, results, _failures(rows, verdicts))


def _failures(
    samples: Sequence[Sample], verdicts: Sequence[Mapping[str, RewardResult]]
) -> Counter[tuple[str, str]]:
    """Count what failed, and the silence of those samples that no reward has anything to say about."""
    return Counter(
        (name, result.reason.partition(":")[0].strip() or "unknown")
        for sample, results in zip(samples, verdicts, strict=True)
        for name, result in results.items()
        if result.status == "failed" or (result.status == "silent" and not sample.rewards)
    )


def _factors(rewards: Mapping[str, object], weights: Mapping[str, float]) -> dict[str, float]:
    unknown = sorted(set(weights) - set(rewards))
    if unknown:
        raise ConfigError(
            f"reward weights name {', '.join(unknown)}, but the rewards are {', '.join(rewards) or 'none'}"
        )
    return {name: weights.get(name, 1.0) for name in rewards}


def _with_rewards(
    sample: Sample, results: Mapping[str, RewardResult], factors: Mapping[str, float]
) -> Sample:
    values = {name: result.value for name, result in results.items() if result.status == "scored"}
    is_unrewarded = bool(results) and not values
    if is_unrewarded or any(result.status == "failed" for result in results.values()):
        return replace(sample, rewards=values, reward=None, status="failed")
    return replace(
        sample, rewards=values, reward=math.fsum(factors[name] * value for name, value in values.items())
    )


def _run(
    name: str, reward: Reward | AsyncReward, samples: Sequence[Sample], timeout_seconds: float
) -> list[RewardResult]:
    if not samples:
        return []
    samples = with_all_columns(name, reward, samples)
    if is_async(reward):
        with told_when_overdue(name, _GRACE * timeout_seconds):
            return _run_async(cast(AsyncReward, reward), samples, timeout_seconds)
    with told_when_overdue(name, timeout_seconds):
        results = _run_sync(cast(Reward, reward), samples)
    reasons = [result.reason.partition(":") for result in results]
    if all(reason in UNREADABLE for reason, _, _ in reasons):
        raise ComponentError(
            f"reward '{name}'{maker_of(reward)} ({place_of(reward)}):{reasons[0][2]}; make it return a list "
            "with one number, or None, for each sample"
        )
    return results


def _run_sync(reward: Reward, samples: Sequence[Sample]) -> list[RewardResult]:
    """Score all at once; if that raises, one at a time, so that only what fails fails."""
    try:
        return read_results(reward(samples), len(samples))
    except BurnishError:
        raise
    except Exception as error:  # noqa: BLE001 - the fault boundary around other people's rewards
        if len(samples) == 1:
            return [failed(raised_by(error))]
        return [result for sample in samples for result in _run_sync(reward, [sample])]


def _run_async(reward: AsyncReward, samples: Sequence[Sample], timeout_seconds: float) -> list[RewardResult]:
    """Score all samples side by side in an event loop of their own, each under the timeout."""

    async def score_one(sample: Sample) -> RewardResult:
        try:
            async with asyncio.timeout(timeout_seconds):
                return read_results(await reward([sample]), 1)[0]
        except TimeoutError:
            return failed(f"timeout: no answer within {timeout_seconds} seconds")
        except BurnishError:
            raise
        except Exception as error:  # noqa: BLE001 - the fault boundary around other people's rewards
            return failed(raised_by(error))

    async def score_all() -> list[RewardResult]:
        return await asyncio.gather(*(score_one(sample) for sample in samples))

    # In a thread: the caller may have an event loop of its own, as a notebook does.
    return in_daemon_thread(lambda: asyncio.run(score_all()))

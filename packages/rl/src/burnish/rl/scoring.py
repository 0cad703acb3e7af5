"""From completions to what they are worth; a sample that a reward cannot score counts as failed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from burnish.llm.sequence import Sample
from burnish.platform.statistics.tracker import StatsTracker
from burnish.rl.groups import Group, samples_of
from burnish.sample.rewards.failures import FirstFailures, why_unrewarded
from burnish.sample.rewards.protocol import AsyncReward, Reward
from burnish.sample.rewards.score import score


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """The rewards of one algorithm and how they add up."""

    rewards: Mapping[str, Reward | AsyncReward]
    reward_weights: Mapping[str, float]
    """Factors of the rewards in the sum that is learned from; 1 where none is named."""
    timeout_seconds: float

    failures: FirstFailures
    """Tells of each reward once that it fails."""

    def __call__(self, groups: Sequence[Group], stats: StatsTracker) -> tuple[list[Group], str | None]:
        """Return the groups with their samples rewarded, and a reason to stop where not one sample is.

        A sample without a reward has failed. Where none has one there is nothing to learn from.
        """
        samples = list(samples_of(groups))
        results = score(
            samples,
            self.rewards,
            weights=self.reward_weights,
            timeout_seconds=self.timeout_seconds,
        )
        stats += results.stats("reward")
        remaining = iter(results.samples)
        scored = [replace(group, samples=tuple(next(remaining) for _ in group.samples)) for group in groups]
        _describe_completions(samples, stats)
        _describe_rewards(scored, stats)
        reason = why_unrewarded(results, self.rewards)
        if reason is None:
            self.failures.tell(results, self.rewards)
            return scored, None
        return scored, f"no completion of the rollout could be rewarded: {reason}; mend what fails"


def _describe_completions(samples: Sequence[Sample], stats: StatsTracker) -> None:
    """Report lengths, and how many completions ran out of room."""
    stats.ratio("rollout/completion_tokens", sum(sample.num_sampled for sample in samples), len(samples))
    stats.ratio("rollout/truncated", sum(sample.status == "length" for sample in samples), len(samples))


def _describe_rewards(groups: Sequence[Group], stats: StatsTracker) -> None:
    """Report rewards, how far they lie apart, and how many groups still tell good from bad."""
    rewards = [group.rewards for group in groups]
    is_mixed = [of_group.size > 0 and np.ptp(of_group) > 0 for of_group in rewards]
    stats.ratio("reward/mean", sum(float(each.sum()) for each in rewards), sum(each.size for each in rewards))
    spreads = [float(each.std(ddof=1)) for each in rewards if each.size > 1]
    stats.ratio("reward/group_std", math.fsum(spreads), len(spreads))
    if sum(each.size for each in rewards) > 1:
        stats.scalar("reward/std", float(np.concatenate(rewards).std(ddof=1)))
    stats.ratio("reward/mixed_groups", sum(is_mixed), len(groups))

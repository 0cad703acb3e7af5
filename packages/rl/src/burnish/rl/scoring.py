"""From completions to what they are worth; a sample that a reward cannot score counts as failed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from burnish.platform.statistics.tracker import StatsTracker
from burnish.rl.groups import Group, samples_of
from burnish.sample.rewards.protocol import AsyncReward, Reward
from burnish.sample.rewards.score import score


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """The rewards of one algorithm and how they add up."""

    rewards: Mapping[str, Reward | AsyncReward]
    reward_weights: Mapping[str, float]
    """Factors of the rewards in the sum that is learned from; 1 where none is named."""
    timeout_seconds: float

    def __call__(self, groups: Sequence[Group], stats: StatsTracker) -> list[Group]:
        """Return the groups with their samples rewarded; a sample without a reward has failed."""
        results = score(
            list(samples_of(groups)),
            self.rewards,
            weights=self.reward_weights,
            timeout_seconds=self.timeout_seconds,
        )
        stats += results.stats("reward")
        remaining = iter(results.samples)
        scored = [replace(group, samples=tuple(next(remaining) for _ in group.samples)) for group in groups]
        _describe(scored, stats)
        return scored


def _describe(groups: Sequence[Group], stats: StatsTracker) -> None:
    """Report rewards, lengths and how many groups still tell good from bad."""
    for group in groups:
        rewards = group.rewards
        stats.ratio("reward/mean", float(rewards.sum()), len(rewards))
        stats.ratio("reward/mixed_groups", float(len(rewards) > 0 and np.ptp(rewards) > 0), 1)
    for sample in samples_of(groups):
        stats.ratio("rollout/completion_tokens", int(np.count_nonzero(sample.sampled)), 1)
        stats.ratio("rollout/truncated", float(sample.status == "length"), 1)

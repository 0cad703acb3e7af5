"""Between rollout and update: reward completions, leave out what teaches nothing, account for all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from burnish.platform.statistics.tracker import StatsTracker
from burnish.rl.accounting import Accounting
from burnish.rl.filters.protocol import Filter
from burnish.rl.groups import Group, samples_of
from burnish.sample.rewards.protocol import AsyncReward, Reward
from burnish.sample.rewards.score import score


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Rewards, then filters; a sample that a reward cannot score counts as failed."""

    rewards: Mapping[str, Reward | AsyncReward]
    reward_weights: Mapping[str, float]
    """Factors of the rewards in the sum that is learned from; 1 where none is named."""
    timeout_seconds: float
    filters: Mapping[str, Filter]

    def score(self, groups: Sequence[Group], stats: StatsTracker) -> list[Group]:
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

    def keep(self, groups: Sequence[Group], submitted: int, stats: StatsTracker) -> list[Group]:
        """Return the groups to learn from, and account for each of the `submitted` completions."""
        accounting = Accounting(submitted=submitted)
        kept: list[Group] = []
        for group in groups:
            accounting.failed += len(group.samples) - len(group.scored)
            reason = self._reason_against(group)
            if reason is not None:
                accounting.leave_out(reason, len(group.scored))
            elif group.scored:
                accounting.trained += len(group.scored)
                kept.append(group)
        for name, count in accounting.close().items():
            stats.scalar(name, count)
        return kept

    def _reason_against(self, group: Group) -> str | None:
        if not group.scored:
            return None
        return next((reason for rule in self.filters.values() if (reason := rule(group))), None)


def _describe(groups: Sequence[Group], stats: StatsTracker) -> None:
    """Report rewards, lengths and how many groups still tell good from bad."""
    for group in groups:
        rewards = group.rewards
        stats.ratio("reward/mean", float(rewards.sum()), len(rewards))
        stats.ratio("reward/mixed_groups", float(len(rewards) > 0 and np.ptp(rewards) > 0), 1)
    for sample in samples_of(groups):
        stats.ratio("rollout/completion_tokens", int(np.count_nonzero(sample.sampled)), 1)
        stats.ratio("rollout/truncated", float(sample.status == "length"), 1)

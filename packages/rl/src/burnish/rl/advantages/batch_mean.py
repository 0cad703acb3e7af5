"""The advantage of REINFORCE with the batch's mean as its baseline (Williams, 1992)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from burnish.rl.advantages.group_mean import EPSILON
from burnish.rl.advantages.protocol import TokenAdvantages, spread
from burnish.rl.groups import Group


@dataclass(frozen=True)
class BatchMeanAdvantage:
    """A_i = (r_i - mean) / (std + 1e-6) over the kept groups of a step, std with n; unscaled: r_i - mean."""

    is_scaled: bool

    def __call__(self, groups: Sequence[Group]) -> list[list[TokenAdvantages]]:
        """Return the advantages."""
        rewards = np.concatenate([group.rewards for group in groups]) if groups else np.zeros(1)
        if rewards.size == 0 or np.ptp(rewards) == 0:
            return [spread(group, np.zeros_like(group.rewards)) for group in groups]
        scale = rewards.std() + EPSILON if self.is_scaled else 1.0
        return [spread(group, (group.rewards - rewards.mean()) / scale) for group in groups]

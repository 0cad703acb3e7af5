"""The advantage of GRPO (https://arxiv.org/abs/2402.03300, eq. 3) and of Dr. GRPO (2503.20783)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from burnish.rl.advantages.protocol import TokenAdvantages, spread
from burnish.rl.groups import Group

EPSILON = 1e-6
"""Added to the standard deviation, so that rewards that hardly differ give no huge advantages."""


@dataclass(frozen=True)
class GroupMeanAdvantage:
    """A_i = (r_i - mean) / (std + 1e-6) within the group, std with n - 1; unscaled: r_i - mean."""

    is_scaled: bool

    def __call__(self, groups: Sequence[Group]) -> list[list[TokenAdvantages]]:
        """Return the advantages: 0 for equal rewards, and for a sample alone in its group."""
        return [spread(group, self._values(group.rewards)) for group in groups]

    def _values(self, rewards: Float[np.ndarray, " g"]) -> Float[np.ndarray, " g"]:
        if len(rewards) < 2 or np.ptp(rewards) == 0:
            return np.zeros_like(rewards)
        centered = rewards - rewards.mean()
        return centered / (rewards.std(ddof=1) + EPSILON) if self.is_scaled else centered

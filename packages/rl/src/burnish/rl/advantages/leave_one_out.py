"""The advantage of RLOO (https://arxiv.org/abs/2402.14740, eq. 8)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from burnish.rl.advantages.protocol import TokenAdvantages, spread
from burnish.rl.groups import Group


def leave_one_out(groups: Sequence[Group]) -> list[list[TokenAdvantages]]:
    """Return A_i = r_i - mean of the others = n / (n - 1) (r_i - mean); 0 for equals or a sample alone."""
    return [spread(group, _values(group.rewards)) for group in groups]


def _values(rewards: Float[np.ndarray, " g"]) -> Float[np.ndarray, " g"]:
    n = len(rewards)
    if n < 2 or np.ptp(rewards) == 0:
        return np.zeros_like(rewards)
    return (rewards - rewards.mean()) * n / (n - 1)

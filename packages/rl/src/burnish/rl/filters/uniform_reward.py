"""Leave out groups that teach nothing: the dynamic sampling criterion of DAPO (https://arxiv.org/abs/2503.14476)."""

import numpy as np

from burnish.rl.groups import Group


def uniform_reward(group: Group) -> str | None:
    """Return "uniform_reward" where all rewards of the group are equal."""
    return "uniform_reward" if np.ptp(group.rewards) == 0 else None

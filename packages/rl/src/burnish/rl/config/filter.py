"""The filters of this package as plain data."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from burnish.rl.filters.protocol import Filter, FilterContext


@dataclass(frozen=True, kw_only=True)
class UniformReward:
    """Leave out groups whose rewards are all equal: they say nothing about what to do more of."""

    def build(self, _: "FilterContext") -> "Filter":
        """Return the filter."""
        from burnish.rl.filters.uniform_reward import uniform_reward

        return uniform_reward

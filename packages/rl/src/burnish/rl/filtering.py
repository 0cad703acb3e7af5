"""Leave out the groups that teach nothing, and account for every completion that was asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.platform.configuration.conformance import departure
from burnish.platform.statistics.tracker import StatsTracker
from burnish.rl.accounting import Accounting
from burnish.rl.filters.protocol import Filter
from burnish.rl.groups import Group


@dataclass(frozen=True)
class Filtering:
    """The filters of one algorithm, by label; the first that has something against a group counts."""

    filters: Mapping[str, Filter]

    def __call__(self, groups: Sequence[Group], submitted: int, stats: StatsTracker) -> list[Group]:
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
        for rule in self.filters.values():
            reason: object = rule(group)
            if not isinstance(reason, str | None):
                what = f"returns {reason!r}, neither a reason nor None"
                raise departure("filter", rule, what, Filter, "__call__")
            if reason:
                return reason
        return None

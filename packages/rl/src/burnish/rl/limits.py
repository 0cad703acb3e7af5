"""What ends a run that has gone wrong, before it wastes the night."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from burnish.llm.limits import SkippedUpdates
from burnish.platform.statistics.tracker import StatsTracker
from burnish.rl.groups import Group
from burnish.rl.objectives.mismatch import ABSOLUTE

MAX_MISMATCH = {"float32": 1e-4, "bfloat16": 5e-3}
"""`max_mismatch=auto` by compute dtype, in nats per token. Clean runs stay below a tenth: 3e-7 in float32
and 4e-4 in bfloat16 at most on the tiny model; one layer scaled by 1.05 gives 8e-4 and more."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Watches each rollout and its updates; every method returns the reason to stop, or None."""

    max_mismatch: float
    """Nats per token between engine and trainer, averaged over a rollout's first update."""
    skipped: SkippedUpdates

    def unrewarded(self, groups: Sequence[Group], stats: StatsTracker) -> str | None:
        """Look at a rollout: where nothing has a reward there is nothing to learn from, nor in the next."""
        if any(group.scored for group in groups):
            return None
        scope = "reward/failed/"
        reasons = [name.removeprefix(scope) for name in stats.summary() if name.startswith(scope)]
        return f"no completion of the rollout could be rewarded: {', '.join(reasons) or 'no reason given'}"

    def mismatched(self, statistics: Mapping[str, Any]) -> str | None:
        """Look at a rollout's first update, which waits for it: do engine and trainer agree?"""
        total, count = statistics[ABSOLUTE]
        mismatch = float(total) / max(float(count), 1.0)
        # Written so that a mismatch that is not a number stops the run too.
        if mismatch <= self.max_mismatch:
            return None
        return (
            f"{ABSOLUTE} is {mismatch:.2e} nats per token, above max_mismatch={self.max_mismatch:g}: the "
            "engine does not sample from the trained policy (stale or altered weights, other numerics)"
        )

    def skipped_too_often(self, updates: Sequence[Mapping[str, Any]]) -> str | None:
        """Look at all updates of a rollout, which waits for them: were too many in a row not finite?"""
        return next((reason for update in updates if (reason := self.skipped.exceeded(update))), None)


def mismatch_limit(configured: float | Literal["auto"], compute_dtype: str) -> float:
    """Return the limit in nats per token; `auto` is the compute dtype's."""
    return MAX_MISMATCH[compute_dtype] if configured == "auto" else configured

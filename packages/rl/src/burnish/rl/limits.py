"""What ends a run that has gone wrong, before it wastes the night."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from burnish.rl.objectives.mismatch import ABSOLUTE

SKIPPED = "train/skipped"


@dataclass(kw_only=True)
class Limits:
    """Watches the updates of each rollout; `exceeded` says why the run should end."""

    max_mismatch: float
    """Nats per token between engine and trainer, averaged over a rollout's first update."""
    max_skipped_updates: int
    """Updates in a row whose gradient is not finite."""
    _skipped_in_a_row: int = field(default=0, init=False)

    def exceeded(self, updates: Sequence[Mapping[str, tuple[Any, Any]]]) -> str | None:
        """Return the reason to stop after these updates of one rollout, or None."""
        for statistics in updates:
            was_skipped = float(statistics[SKIPPED][0]) > 0
            self._skipped_in_a_row = self._skipped_in_a_row + 1 if was_skipped else 0
        if self._skipped_in_a_row >= self.max_skipped_updates:
            return f"{self._skipped_in_a_row} updates in a row were not finite (max_skipped_updates)"
        if not updates:
            return None
        total, count = updates[0][ABSOLUTE]
        mismatch = float(total) / max(float(count), 1.0)
        # Written so that a mismatch that is not a number stops the run too.
        if not mismatch <= self.max_mismatch:
            return (
                f"{ABSOLUTE} is {mismatch:.2e} nats per token, above max_mismatch={self.max_mismatch:g}: the "
                "engine does not sample from the trained policy (stale or altered weights, other numerics)"
            )
        return None

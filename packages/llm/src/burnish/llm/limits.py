"""The limit on updates that are not finite: one is skipped and forgiven, many in a row end the run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from burnish.platform.checkpoint.snapshot import Restored, Snapshot

SKIPPED = "train/skipped"


@dataclass(kw_only=True)
class SkippedUpdates:
    """Counts updates in a row that the train step skipped; a part of checkpoints, so a restart counts on."""

    state_version: ClassVar[int] = 0
    """It changes when a committed row is looked at and never in a step, so what it is goes with that row."""

    limit: int
    """Updates in a row after which `exceeded` gives a reason to stop."""
    _in_a_row: int = field(default=0, init=False)

    def save_state(self) -> Snapshot:
        """Return the count."""
        return Snapshot(json={"in_a_row": self._in_a_row})

    def load_state(self, restored: Restored) -> None:
        """Count on."""
        self._in_a_row = int(restored.json["in_a_row"])

    def exceeded(self, statistics: Mapping[str, Any]) -> str | None:
        """Look at one update's statistics, which waits for it; return the reason to stop, or None.

        A loop looks one step late (`StageRun.stop_if`), when the next update is under way.
        """
        was_skipped = float(statistics[SKIPPED][0]) > 0
        self._in_a_row = self._in_a_row + 1 if was_skipped else 0
        if self._in_a_row < self.limit:
            return None
        return (
            f"{self._in_a_row} updates in a row were not finite (max_skipped_updates={self.limit}); "
            "start another run with a lower optimizer.learning_rate, or look at the data of these steps"
        )

"""The limit on updates that are not finite: one is skipped and forgiven, many in a row end the run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from burnish.llm.batch import TokenBatch
from burnish.llm.skipped_batches import SkippedBatches
from burnish.platform.checkpoint.snapshot import Restored, Snapshot
from burnish.platform.runs.stage_run import StageRun

SKIPPED = "train/skipped"


class Update(NamedTuple):
    """One update, for those who look at it once it is done."""

    name: str
    """Names the step, and the update where it has several: `step_3`, `step_3_update_2`."""
    statistics: Mapping[str, Any]
    batch: TokenBatch


@dataclass(kw_only=True)
class SkippedUpdates:
    """Counts updates in a row that the train step skipped; a part of checkpoints, so a restart counts on."""

    state_version: ClassVar[int] = 0
    """It changes when a committed row is looked at and never in a step, so what it is goes with that row."""

    limit: int
    """Updates in a row after which `exceeded` gives a reason to stop."""
    batches: SkippedBatches | None = None
    """Keeps the batches of skipped updates; None keeps none."""
    _in_a_row: int = field(default=0, init=False)

    @classmethod
    def of(cls, run: StageRun, limit: int) -> "SkippedUpdates":
        """Return the limit of a stage that keeps the batches below its directory."""
        directory = run.stage_directory / "not_finite"
        return cls(
            limit=limit, batches=SkippedBatches(directory=directory, say=run.say, is_primary=run.is_primary)
        )

    def save_state(self) -> Snapshot:
        """Return the count."""
        return Snapshot(json={"in_a_row": self._in_a_row})

    def load_state(self, restored: Restored) -> None:
        """Count on."""
        self._in_a_row = int(restored.json["in_a_row"])

    def exceeded(self, update: Update) -> str | None:
        """Look at one update's statistics, which waits for it; return the reason to stop, or None.

        A loop looks one step late (`StageRun.stop_if`), when the next update is under way.
        """
        was_skipped = float(update.statistics[SKIPPED][0]) > 0
        if was_skipped and self.batches is not None:
            self.batches.write(update.name, update.batch, update.statistics)
        self._in_a_row = self._in_a_row + 1 if was_skipped else 0
        if self._in_a_row < self.limit:
            return None
        return (
            f"{self._in_a_row} updates in a row were not finite (max_skipped_updates={self.limit}); "
            "start another run with a lower optimizer.learning_rate, or look at the data of these steps"
            + ("" if self.batches is None else f" in {self.batches.directory}")
        )

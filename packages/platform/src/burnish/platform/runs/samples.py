"""What the model wrote, kept for reading: one JSON line per sample under `samples/`."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burnish.platform import atomic
from burnish.platform.statistics.logger import StatsLogger
from burnish.platform.statistics.rows import row_line
from burnish.platform.statistics.sink import Samples


@dataclass(frozen=True)
class SampleWriter:
    """Append samples of one stage to one file; rows start with `stage` and `step`, as in `metrics.jsonl`."""

    path: Path
    stage: str
    is_primary: bool = True
    """Whether this process writes; the others leave it to the primary one."""
    logger: StatsLogger = field(default_factory=lambda: StatsLogger({}))
    """Who shows some of them."""

    def write(self, step: int, rows: Iterable[Mapping[str, Any]], *, shown: Sequence[str] = ()) -> None:
        """Append `rows` of one step in one write; sinks show their columns `shown`, none without a name."""
        if not self.is_primary:
            return
        rows = list(rows)
        lines = b"".join(row_line(self.stage, step, row) for row in rows)
        atomic.make_directory(self.path.parent)
        with closing(atomic.AppendedFile(self.path)) as file:
            file.append(lines)
        if shown:
            self.logger.show(
                Samples(stage=self.stage, step=step, name=self.path.stem, rows=rows, shown=shown)
            )

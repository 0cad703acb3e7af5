"""What the model wrote, kept for reading: one JSON line per sample under `samples/`."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.platform import atomic
from burnish.platform.statistics.rows import row_line


@dataclass(frozen=True)
class SampleWriter:
    """Append samples of one stage to one file; rows start with `stage` and `step`, as in `metrics.jsonl`."""

    path: Path
    stage: str
    is_primary: bool = True
    """Whether this process writes; the others leave it to the primary one."""

    def write(self, step: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append `rows` of one step in one write."""
        if not self.is_primary:
            return
        lines = b"".join(row_line(self.stage, step, row) for row in rows)
        atomic.make_directory(self.path.parent)
        with closing(atomic.AppendedFile(self.path)) as file:
            file.append(lines)

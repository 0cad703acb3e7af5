"""Rows as lines of JSON in `metrics.jsonl`, appended one by one."""

import math
from collections.abc import Mapping
from pathlib import Path

from burnish.platform.atomic import AppendedFile
from burnish.platform.statistics.rows import row_line
from burnish.platform.statistics.sink import RunEnd, SinkRow

FILE = "metrics.jsonl"


class JsonlSink:
    """Append `{"stage": ..., "step": ..., <metric>: <number>, ...}` to `metrics.jsonl`, row by row.

    JSON has no NaN and no infinity: such a number is written as null.
    """

    def __init__(self, directory: Path) -> None:
        """Open the file in the run's directory for appending; `DiskError` when that is impossible."""
        # Open for the sink's life: reopening for every row would cost more than the row.
        self._file = AppendedFile(directory / FILE)

    def commit(self, row: SinkRow, stats: Mapping[str, float]) -> None:
        """Append one line at once."""
        numbers = {name: value if math.isfinite(value) else None for name, value in stats.items()}
        self._file.append(row_line(row.stage, row.step, numbers))

    def close(self, end: RunEnd) -> None:  # noqa: ARG002 - `status.json` says how the run ended
        """Close the file."""
        self._file.close()

"""Rows as lines of JSON: appended one by one, cut back when a run goes on from an earlier step."""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from burnish.platform.errors import RunError
from burnish.platform.statistics.sink import RunEnd, SinkRow

FILE = "metrics.jsonl"


class JsonlSink:
    """Append `{"stage": ..., "step": ..., <metric>: <number>, ...}` to `metrics.jsonl`, flushed row by row.

    JSON has no NaN and no infinity: such a number is written as null.
    """

    def __init__(self, directory: Path) -> None:
        """Open the file in the run's directory for appending; `RunError` when that is impossible."""
        path = directory / FILE
        try:
            # Open for the sink's life: reopening for every row would cost more than the row.
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise RunError(f"logging.sinks: cannot write '{path}': {error.strerror}") from error

    def commit(self, row: SinkRow, stats: Mapping[str, float]) -> None:
        """Append one line and flush it."""
        numbers = {name: value if math.isfinite(value) else None for name, value in stats.items()}
        self._file.write(json.dumps({"stage": row.stage, "step": row.step, **numbers}) + "\n")
        self._file.flush()

    def close(self, end: RunEnd) -> None:  # noqa: ARG002 - `status.json` says how the run ended
        """Close the file."""
        self._file.close()


def truncate(path: Path, keeps: Callable[[str, int], bool]) -> None:
    """Keep the rows of `path` whose stage and step `keeps` accepts, and drop a torn last line.

    The file is written anew and renamed into place, or left alone when nothing changes or it does not exist.
    Raises `RunError` naming a line before the last that is no row.
    """
    if not path.is_file():
        return
    content = path.read_bytes()
    kept = b"".join(_kept_lines(path, content, keeps))
    if kept == content:
        return
    aside = path.with_name(f".{path.name}.writing")
    with aside.open("wb") as file:
        file.write(kept)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _kept_lines(path: Path, content: bytes, keeps: Callable[[str, int], bool]) -> list[bytes]:
    lines = content.splitlines(keepends=True)
    kept: list[bytes] = []
    for number, line in enumerate(lines, start=1):
        if number == len(lines) and not line.endswith(b"\n"):
            break
        try:
            row = cast("dict[str, Any]", json.loads(line))
            stage, step = str(row["stage"]), int(row["step"])
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path}:{number} is no row with a stage and a step: delete the line") from error
        if keeps(stage, step):
            kept.append(line)
    return kept

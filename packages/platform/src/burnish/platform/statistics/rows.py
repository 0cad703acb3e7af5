"""Rows as lines of JSON, each of one stage and step: what `metrics.jsonl` and the files of `samples/` hold.

How a row is written, read and cut away is known here alone; whoever writes rows only appends them.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from burnish.platform import atomic
from burnish.platform.errors import RunError

Row = Mapping[str, float | str]
"""One line of `metrics.jsonl`."""


def row_line(stage: str, step: int, columns: Mapping[str, Any]) -> bytes:
    """Return the line of one row."""
    return (json.dumps({"stage": stage, "step": step, **columns}) + "\n").encode()


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file in order, without a torn last line; none where there is no file.

    Raises `RunError` naming a line before the last that is no row.
    """
    return [row for _, row in _lines(path)]


def rows_kept(path: Path, keeps: Callable[[str, int], bool]) -> bytes:
    """Return the lines of the rows that `keeps` accepts by stage and step, byte for byte."""
    return b"".join(line for line, row in _lines(path) if keeps(row["stage"], row["step"]))


def row_cut(path: Path, keeps: Callable[[str, int], bool]) -> Callable[[], None]:
    """Return what cuts a file back to the rows that `keeps` accepts by stage and step, byte for byte.

    Called, it replaces the file as a whole, without a torn last line, or leaves it alone where nothing
    changes. The file is read here and now, so a broken one is refused as by `read_rows`, before any cut.
    """
    kept = rows_kept(path, keeps)

    def cut() -> None:
        if path.is_file() and len(kept) != path.stat().st_size:
            atomic.publish_file(path, kept)

    return cut


def _lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield each whole line with its row."""
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        if number == len(lines) and not line.endswith(b"\n"):
            return
        try:
            row = cast("dict[str, Any]", json.loads(line))
            row["stage"], row["step"] = str(row["stage"]), int(row["step"])
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path}:{number} is no row with a stage and a step: delete the line") from error
        yield line, row

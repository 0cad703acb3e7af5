"""Rows as lines of JSON, each of one stage and step: what `metrics.jsonl` and the files of `samples/` hold.

How a row is written, read and cut away is known here alone; whoever writes rows only appends them.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from burnish.platform import atomic
from burnish.platform.errors import RunError

Row = Mapping[str, float | str | None]
"""One line of `metrics.jsonl`; None stands for a number that is not finite."""

_PIECE_BYTES = 1 << 20


def row_line(stage: str, step: int, columns: Mapping[str, Any]) -> bytes:
    """Return the line of one row."""
    return (json.dumps({"stage": stage, "step": step, **columns}) + "\n").encode()


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file in order, without a torn last line; none where there is no file.

    One row is held at a time, however long the file is. Raises `RunError` naming a line before the last that
    is no row.
    """
    for _, row in _lines(path):
        yield row


def size_of_rows_kept(path: Path, keeps: Callable[[str, int], bool]) -> int:
    """Return the bytes of the rows that `keeps` accepts by stage and step."""
    return sum(stop - start for start, stop in _spans_kept(path, keeps))


def row_cut(path: Path, keeps: Callable[[str, int], bool]) -> Callable[[], None]:
    """Return what cuts a file back to the rows that `keeps` accepts by stage and step, byte for byte.

    Called, it replaces the file as a whole, without a torn last line, or leaves it alone where nothing
    changes. The file is read here and now, so a broken one is refused as by `read_rows`, before any cut.
    Neither holds the rows.
    """
    spans = _spans_kept(path, keeps)

    def cut() -> None:
        if path.is_file() and sum(stop - start for start, stop in spans) != path.stat().st_size:
            with path.open("rb") as file, atomic.publishing_file(path) as write:
                for start, stop in spans:
                    _copy(file, start, stop, write)

    return cut


def _spans_kept(path: Path, keeps: Callable[[str, int], bool]) -> list[tuple[int, int]]:
    """Return where the rows that `keeps` accepts lie in a file: one span where they follow each other."""
    spans: list[tuple[int, int]] = []
    start = 0
    for line, row in _lines(path):
        stop = start + len(line)
        if keeps(row["stage"], row["step"]):
            begun = spans.pop()[0] if spans and spans[-1][1] == start else start
            spans.append((begun, stop))
        start = stop
    return spans


def _copy(file: BinaryIO, start: int, stop: int, write: Callable[[bytes], None]) -> None:
    file.seek(start)
    while start < stop and (piece := file.read(min(stop - start, _PIECE_BYTES))):
        write(piece)
        start += len(piece)


def _lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield each whole line with its row."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                row = cast("dict[str, Any]", json.loads(line))
                row["stage"], row["step"] = str(row["stage"]), int(row["step"])
            except (ValueError, KeyError, TypeError) as error:
                raise RunError(
                    f"{path}:{number} is no row with a stage and a step: delete the line"
                ) from error
            yield line, row

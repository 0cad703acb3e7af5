"""A few samples as a table for a glance; the whole of them is in the run's directory."""

from collections.abc import Iterator
from typing import Any

from rich.cells import cell_len, set_cell_size

from burnish.platform.statistics.sink import Samples

WIDEST = 60
"""Cells of a column at most, and `NARROWEST` at least; a longer text keeps its beginning and its end."""

NARROWEST = 8
GAP = "  "


def samples_table(samples: Samples, count: int, width: int) -> Iterator[str]:
    """Yield the lines of a table of `width` cells: a head, and the first `count` samples, a line each."""
    lines = [[_plain(row.get(column)) for column in samples.shown] for row in samples.rows[:count]]
    lines = [list(samples.shown), *lines]
    needs = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    room = width - len(GAP) * len(needs)
    fitting = (limit for limit in range(WIDEST, NARROWEST, -1) if sum(min(limit, n) for n in needs) <= room)
    limit = next(fitting, NARROWEST)
    for line in lines:
        cells = (
            set_cell_size(_cropped(text, limit), min(limit, need))
            for text, need in zip(line, needs, strict=True)
        )
        yield (GAP + GAP.join(cells)).rstrip()


def _plain(value: Any) -> str:
    """Return a value on one line, without what a terminal would obey."""
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return "".join(letter if letter.isprintable() else "·" for letter in " ".join(text.split()))


def _cropped(text: str, limit: int) -> str:
    if cell_len(text) <= limit:
        return text
    half = (limit - 1) // 2
    head, tail = (set_cell_size(part, half).rstrip() for part in (text, text[::-1]))
    return f"{head}…{tail[::-1]}"

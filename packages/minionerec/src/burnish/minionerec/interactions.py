"""What users bought, row by row: a history of items and the item that came next.

Reads one split of MiniOneRec's layout (`train/*.csv`, `valid/*.csv`, `test/*.csv`) and checks it against the
catalog. Rows keep their order and their place in the file, which is the key of everything derived from
them: two rows with the same history are two rows.
"""

import ast
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.minionerec.catalog import Catalog, read_text
from burnish.platform.errors import DataError

COLUMNS = (
    "user_id",
    "history_item_title",
    "item_title",
    "history_item_id",
    "item_id",
    "history_item_sid",
    "item_sid",
)


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """One row: the items a user had, oldest first and at most ten, and the item the user took next."""

    user_id: str
    history: tuple[int, ...]
    target: int


def read_interactions(file: Path, catalog: Catalog) -> list[Interaction]:
    """Read one split, in file order; columns beyond MiniOneRec's seven are allowed.

    Raises `DataError`, naming the file and the line a row starts on, for a malformed row and for one whose
    ids, semantic IDs or titles are not the catalog's.
    """
    return [_interaction(row, catalog, where=f"{file}:{line}") for line, row in _rows(file)]


def _rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row with the line it starts on: a quoted title may span lines."""
    reader = csv.reader(io.StringIO(read_text(file), newline=""), strict=True)
    line, header = 1, next(reader, [])
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise DataError(f"{file}:1: lacks the columns {', '.join(missing)}; wanted {', '.join(COLUMNS)}.")
    try:
        line = reader.line_num + 1
        for cells in reader:
            if len(cells) != len(header):
                raise DataError(f"{file}:{line}: has {len(cells)} cells; the header has {len(header)}.")
            yield line, dict(zip(header, cells, strict=True))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{file}:{line}: is not CSV: {error}.") from error


def _interaction(row: dict[str, str], catalog: Catalog, *, where: str) -> Interaction:
    history = _list(row, "history_item_id", of=int, where=where)
    if not row["item_id"].isascii() or not row["item_id"].isdigit():
        raise DataError(f"{where}: `item_id` should be a whole number, got `{row['item_id']}`.")
    target = int(row["item_id"])
    for item_id in (*history, target):
        if not 0 <= item_id < len(catalog):
            raise DataError(f"{where}: item {item_id} is not in the catalog of {len(catalog)} items.")
    texts = {
        "history_item_sid": [catalog[item_id].semantic_id for item_id in history],
        "history_item_title": [catalog[item_id].title for item_id in history],
    }
    for name, expected in texts.items():
        if _list(row, name, of=str, where=where) != expected:
            raise DataError(f"{where}: `{name}` differs from the catalog, which has {expected}.")
    for name, expected in (("item_sid", catalog[target].semantic_id), ("item_title", catalog[target].title)):
        if row[name] != expected:
            raise DataError(f"{where}: `{name}` is `{row[name]}`, the catalog has `{expected}`.")
    return Interaction(user_id=row["user_id"], history=tuple(history), target=target)


def _list(row: dict[str, str], name: str, *, of: type, where: str) -> list[Any]:
    """Return the Python list written in a cell; only literals are read, nothing is evaluated."""
    try:
        values = ast.literal_eval(row[name])
    except (ValueError, SyntaxError) as error:
        raise DataError(f"{where}: `{name}` is not the repr of a Python list: {row[name][:40]!r}.") from error
    if not isinstance(values, list) or not all(type(value) is of for value in values):
        raise DataError(f"{where}: `{name}` should be a list of {of.__name__}, got {row[name][:40]!r}.")
    return values

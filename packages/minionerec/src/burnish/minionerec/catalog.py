"""The items of a recommendation dataset and their semantic IDs.

Reads the three files of MiniOneRec's layout that describe items (`index/*.index.json`, `index/*.item.json`,
`info/*.txt`) and refuses them where they contradict each other. Who bought what is `interactions`; how
semantic IDs are made does not live here.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from burnish.platform.errors import DataError

INFO_COLUMNS = 3


@dataclass(frozen=True, kw_only=True)
class Item:
    """One item: its place in the catalog, its texts, and one code per level.

    `description` is verbatim: most are the repr of a Python list, some are not readable as one.
    """

    item_id: int
    codes: tuple[str, ...]
    title: str
    description: str
    brand: str

    @property
    def semantic_id(self) -> str:
        """Return the codes as one string, which is what a model generates."""
        return "".join(self.codes)


@dataclass(frozen=True)
class Catalog:
    """Every item in the order of its id, which counts from 0 without a gap."""

    items: tuple[Item, ...]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, item_id: int) -> Item:
        return self.items[item_id]

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    @cached_property
    def item_ids_by_semantic_id(self) -> Mapping[str, tuple[int, ...]]:
        """Return the ids of the items behind each semantic ID, ascending."""
        grouped: dict[str, list[int]] = {}
        for item in self.items:
            grouped.setdefault(item.semantic_id, []).append(item.item_id)
        return {semantic_id: tuple(ids) for semantic_id, ids in grouped.items()}

    @cached_property
    def collisions(self) -> Mapping[str, tuple[int, ...]]:
        """Return the semantic IDs that more than one item has, with these items' ids."""
        return {name: ids for name, ids in self.item_ids_by_semantic_id.items() if len(ids) > 1}

    @cached_property
    def num_levels(self) -> int:
        """Return the number of codes of the longest semantic ID."""
        return max((len(item.codes) for item in self.items), default=0)

    def codes_at(self, level: int) -> frozenset[str]:
        """Return the codes in use at a level, counted from 0; items with fewer levels have none there."""
        return frozenset(item.codes[level] for item in self.items if level < len(item.codes))


def read_catalog(index_file: Path, item_file: Path, info_file: Path) -> Catalog:
    """Read the three item files of one dataset and check each against the others.

    Raises `DataError`, naming the file and the line, when a file is missing or malformed, an item is
    absent from one of them, or its semantic ID or title differs.
    """
    index, texts = _Table(index_file), _Table(item_file)
    rows = _read_info(info_file)
    _check_same_items(index, texts, info_file, len(rows))
    items = [
        _item(number, index=index, texts=texts, row=row, where=f"{info_file}:{number + 1}")
        for number, row in enumerate(rows)
    ]
    return Catalog(tuple(items))


class _Table:
    """A JSON object keyed by item id that knows on which line each id stands."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.text = read_text(file)
        try:
            content = json.loads(self.text, object_pairs_hook=_Object)
        except json.JSONDecodeError as error:
            raise DataError(f"{file}:{error.lineno}: is not JSON: {error.msg}.") from error
        if not isinstance(content, _Object):
            raise DataError(f"{file}:1: holds no object; wanted one with an entry per item id.")
        for key in content.repeated:
            raise DataError(f"{file}:{self.line(key, occurrence=1)}: item `{key}` stands twice; keep one.")
        self.entries: Mapping[str, Any] = content

    def where(self, key: str) -> str:
        """Return `file:line` of a key."""
        return f"{self.file}:{self.line(key)}"

    def line(self, key: str, *, occurrence: int = 0) -> int:
        """Return the line on which a key stands; quotes inside a text are escaped and never match."""
        matches = list(re.finditer(rf"(?<!\\){re.escape(json.dumps(key))}\s*:", self.text))
        return self.text.count("\n", 0, matches[occurrence].start()) + 1


class _Object(dict[str, Any]):
    """A JSON object that remembers which keys stand in it more than once."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(key for key, _ in pairs)
        self.repeated = [key for key, count in counts.items() if count > 1]


def read_text(file: Path) -> str:
    """Return a UTF-8 file's text; a missing or undecodable one is a `DataError` that names it."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{file}:{line}: is not UTF-8.") from error


def _read_info(file: Path) -> list[tuple[str, str]]:
    """Return (semantic ID, title) of each line; the third column must be the line's number from 0."""
    rows: list[tuple[str, str]] = []
    for number, line in enumerate(_lines(file)):
        columns = line.split("\t")
        if len(columns) != INFO_COLUMNS:
            raise DataError(
                f"{file}:{number + 1}: has {len(columns)} columns; wanted semantic ID, title and item id, "
                "separated by tabs."
            )
        if columns[2] != str(number):
            raise DataError(
                f"{file}:{number + 1}: item id `{columns[2]}` should be `{number}`; keep id order."
            )
        rows.append((columns[0], columns[1]))
    return rows


def _lines(file: Path) -> list[str]:
    """Split at newlines only: `str.splitlines` would also split at what a title may contain."""
    lines = read_text(file).split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _check_same_items(index: _Table, texts: _Table, info_file: Path, num_items: int) -> None:
    wanted = {str(number) for number in range(num_items)}
    for table in (index, texts):
        for key in table.entries.keys() - wanted:
            raise DataError(f"{table.where(key)}: item `{key}` is not among the {num_items} of {info_file}.")
        for key in sorted(wanted - table.entries.keys(), key=int):
            raise DataError(f"{info_file}:{int(key) + 1}: item `{key}` has no entry in {table.file}.")


def _item(number: int, *, index: _Table, texts: _Table, row: tuple[str, str], where: str) -> Item:
    key = str(number)
    codes, entry = index.entries[key], texts.entries[key]
    if not isinstance(codes, list) or not codes or not all(isinstance(code, str) for code in codes):
        raise DataError(f'{index.where(key)}: item `{key}` needs a list of codes such as ["<a_1>", "<b_2>"].')
    if not isinstance(entry, _Object) or entry.repeated:
        raise DataError(f"{texts.where(key)}: item `{key}` needs one title, one description and one brand.")
    item = Item(item_id=number, codes=tuple(codes), **_texts(texts, key))
    if item.semantic_id != row[0]:
        raise DataError(f"{where}: semantic ID `{row[0]}` is `{item.semantic_id}` in {index.where(key)}.")
    if item.title != row[1]:
        raise DataError(f"{where}: title `{row[1]}` is `{item.title}` in {texts.where(key)}.")
    return item


def _texts(table: _Table, key: str) -> dict[str, str]:
    texts = {name: table.entries[key].get(name) for name in ("title", "description", "brand")}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise DataError(f"{table.where(key)}: `{name}` should be a text, got {json.dumps(value)}.")
    return texts

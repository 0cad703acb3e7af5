import csv
import re
from pathlib import Path

import pytest

from burnish.minionerec.catalog import Catalog, Item, read_catalog
from burnish.minionerec.interactions import COLUMNS, Interaction, read_interactions
from burnish.platform.errors import DataError

pytestmark = pytest.mark.fast

ROW = {
    "user_id": "A7",
    "history_item_title": "['Glue', \"Bob's tape\"]",
    "item_title": "Glue",
    "history_item_id": "[0, 1]",
    "item_id": "0",
    "history_item_sid": "['<a_1><b_2>', '<a_1><b_7>']",
    "item_sid": "<a_1><b_2>",
}


@pytest.fixture
def catalog() -> Catalog:
    names = (("Glue", "<b_2>"), ("Bob's tape", "<b_7>"))
    return Catalog(
        tuple(
            Item(item_id=number, codes=("<a_1>", code), title=title, description="", brand="")
            for number, (title, code) in enumerate(names)
        )
    )


def _write(file: Path, *rows: dict[str, str]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return file


def test_row_is_read_with_quotes_inside_titles(tmp_path, catalog):
    rows = read_interactions(_write(tmp_path / "x.csv", ROW), catalog)

    assert rows == [Interaction(user_id="A7", history=(0, 1), target=0)]


def test_extra_columns_are_allowed(tmp_path, catalog):
    rows = read_interactions(_write(tmp_path / "x.csv", ROW | {"provenance": "exact"}), catalog)

    assert len(rows) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"history_item_id": "[0, 1"}, "`history_item_id` is not the repr of a Python list"),
        ({"history_item_id": "__import__('os')"}, "`history_item_id` is not the repr of a Python list"),
        ({"history_item_id": "['0', '1']"}, "`history_item_id` should be a list of int"),
        ({"history_item_id": "[True, 1]"}, "`history_item_id` should be a list of int"),
        ({"history_item_id": "[0, 2]"}, "item 2 is not in the catalog of 2 items"),
        ({"history_item_id": "[0]"}, "`history_item_sid` differs"),
        ({"item_id": "-1"}, "`item_id` should be a whole number, got `-1`"),
        ({"item_id": "1"}, "`item_sid` is `<a_1><b_2>`, the catalog has `<a_1><b_7>`"),
        ({"item_title": "Tape"}, "`item_title` is `Tape`, the catalog has `Glue`"),
        ({"history_item_title": "['Glue', 'x']"}, "`history_item_title` differs"),
    ],
)
def test_malformed_row_names_file_and_line(tmp_path, catalog, change: dict[str, str], message: str):
    file = _write(tmp_path / "x.csv", ROW, ROW | change)

    with pytest.raises(DataError, match=re.escape(f"{file}:3: {message}")):
        read_interactions(file, catalog)


def test_line_is_where_the_row_starts_after_a_title_with_a_newline(tmp_path, catalog):
    file = _write(tmp_path / "x.csv", ROW | {"item_title": "Gl\nue"}, ROW)
    with pytest.raises(DataError, match=re.escape(f"{file}:2: `item_title`")):
        read_interactions(file, catalog)


def test_missing_column_and_short_row_are_refused(tmp_path, catalog):
    file = tmp_path / "x.csv"
    file.write_text("user_id,item_id\n", encoding="utf-8")
    with pytest.raises(DataError, match=r":1: lacks the columns history_item_title"):
        read_interactions(file, catalog)

    file.write_text(",".join(COLUMNS) + "\nA1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match=r":2: has 2 cells; the header has 7"):
        read_interactions(file, catalog)


def test_unclosed_quote_is_refused(tmp_path, catalog):
    file = tmp_path / "x.csv"
    file.write_text(",".join(COLUMNS) + '\nA1,"[\n', encoding="utf-8")
    with pytest.raises(DataError, match=r":2: is not CSV"):
        read_interactions(file, catalog)


def test_industrial_splits_have_the_published_statistics(amazon_file):
    catalog = read_catalog(
        amazon_file("index/*.index.json"), amazon_file("index/*.item.json"), amazon_file("info/*.txt")
    )
    valid = read_interactions(amazon_file("valid/*.csv"), catalog)
    test = read_interactions(amazon_file("test/*.csv"), catalog)

    assert (len(valid), len(test)) == (4532, 4533)
    assert (len({row.user_id for row in valid}), len({row.user_id for row in test})) == (2011, 1987)
    assert sum(catalog[row.target].semantic_id in catalog.collisions for row in test) == 317
    assert sum(len(row.history) for row in test) / len(test) == pytest.approx(4.96, abs=0.005)
    assert max(len(row.history) for row in test) == 10
    repeats = sum(catalog[row.target].semantic_id == catalog[row.history[-1]].semantic_id for row in test)
    assert repeats / len(test) == pytest.approx(0.043, abs=0.0005)

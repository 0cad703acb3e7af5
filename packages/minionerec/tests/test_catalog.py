import re
from collections.abc import Callable
from pathlib import Path

import pytest

from burnish.minionerec.catalog import Catalog, read_catalog
from burnish.platform.errors import DataError

pytestmark = pytest.mark.fast


def test_catalog_of_three_items_is_read_whole(tiny_dataset):
    catalog = read_catalog(*tiny_dataset.write())

    assert len(catalog) == 3
    assert [item.item_id for item in catalog] == [0, 1, 2]
    assert catalog[2].title == 'Tape 1/2"'
    assert catalog[2].semantic_id == "<a_1><b_7>"
    assert catalog[0].brand == "B"
    assert catalog.num_levels == 2
    assert catalog.codes_at(1) == {"<b_2>", "<b_7>"}


def test_collisions_name_the_items_that_share_a_semantic_id(tiny_dataset):
    catalog = read_catalog(*tiny_dataset.write())

    assert catalog.collisions == {"<a_1><b_2>": (0, 1)}


def test_collisions_vanish_when_one_code_changes(tiny_dataset):
    tiny_dataset.index["1"] = ["<a_1>", "<b_3>"]
    tiny_dataset.info[1] = "<a_1><b_3>\tGlue, 2-pack\t1"

    assert read_catalog(*tiny_dataset.write()).collisions == {}


def test_catalog_allows_semantic_ids_of_unequal_length(tiny_dataset):
    tiny_dataset.index["1"] = ["<a_1>", "<b_2>", "<c_1>"]
    tiny_dataset.info[1] = "<a_1><b_2><c_1>\tGlue, 2-pack\t1"
    catalog = read_catalog(*tiny_dataset.write())

    assert catalog.num_levels == 3
    assert catalog.codes_at(2) == {"<c_1>"}


def _break_codes(dataset):
    dataset.index["1"] = "<a_1><b_2>"


def _break_entry(dataset):
    dataset.texts["1"] = ["Glue"]


def _break_title(dataset):
    dataset.texts["1"]["title"] = None


def _drop_index(dataset):
    del dataset.index["1"]


def _add_index(dataset):
    dataset.index["3"] = ["<a_9>"]


def _drop_column(dataset):
    dataset.info[1] = "<a_1><b_2>\t1"


def _swap_id(dataset):
    dataset.info[1] = "<a_1><b_2>\tGlue, 2-pack\t2"


def _other_semantic_id(dataset):
    dataset.info[1] = "<a_1><b_9>\tGlue, 2-pack\t1"


def _other_title(dataset):
    dataset.info[1] = "<a_1><b_2>\tGlue\t1"


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (_break_codes, r"x\.index\.json:6: item `1` needs a list of codes"),
        (_break_entry, r"x\.item\.json:8: item `1` needs one title"),
        (_break_title, r"x\.item\.json:8: `title` should be a text, got null"),
        (_drop_index, r"x\.txt:2: item `1` has no entry in .*x\.index\.json"),
        (_add_index, r"x\.index\.json:14: item `3` is not among the 3 of .*x\.txt"),
        (_drop_column, r"x\.txt:2: has 2 columns"),
        (_swap_id, r"x\.txt:2: item id `2` should be `1`"),
        (_other_semantic_id, r"x\.txt:2: semantic ID `<a_1><b_9>` is `<a_1><b_2>` in .*x\.index\.json:6"),
        (_other_title, r"x\.txt:2: title `Glue` is `Glue, 2-pack` in .*x\.item\.json:8"),
    ],
)
def test_malformed_catalog_names_file_and_line(tiny_dataset, break_it: Callable, message: str):
    break_it(tiny_dataset)

    with pytest.raises(DataError) as caught:
        read_catalog(*tiny_dataset.write())
    assert re.search(message, str(caught.value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("file", "remedy"), [(0, "keep one"), (2, "keep id order")])
def test_a_mended_catalog_is_read(tiny_dataset, file: int, remedy: str):
    paths = tiny_dataset.write()
    whole = paths[file].read_text(encoding="utf-8")
    lines = whole.splitlines(keepends=True)
    paths[file].write_text('{"0": [],\n"0": []}' if file == 0 else "".join(reversed(lines)), encoding="utf-8")
    with pytest.raises(DataError, match=rf"; {remedy}\.$"):
        read_catalog(*paths)
    paths[file].write_text(whole, encoding="utf-8")
    assert len(read_catalog(*paths)) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"0": ["<a_1>"],\n "1": [}', ":2: is not JSON"),
        ("[1]", ":1: holds no object"),
        ('{"0": [],\n"1": [],\n"0": []}', ":3: item `0` stands twice"),
    ],
)
def test_broken_json_names_file_and_line(tiny_dataset, text: str, message: str):
    index_file, item_file, info_file = tiny_dataset.write()
    index_file.write_text(text, encoding="utf-8")

    with pytest.raises(DataError, match=re.escape(f"{index_file}{message}")):
        read_catalog(index_file, item_file, info_file)


def test_missing_and_undecodable_files_are_named(tiny_dataset):
    index_file, item_file, info_file = tiny_dataset.write()
    with pytest.raises(DataError, match=r"absent\.json: cannot be read: No such file"):
        read_catalog(Path("absent.json"), item_file, info_file)

    info_file.write_bytes(b"a\n\xff")
    with pytest.raises(DataError, match=r"x\.txt:2: is not UTF-8"):
        read_catalog(index_file, item_file, info_file)


@pytest.fixture(scope="session")
def industrial(amazon_file) -> Catalog:
    return read_catalog(
        amazon_file("index/*.index.json"), amazon_file("index/*.item.json"), amazon_file("info/*.txt")
    )


def test_industrial_catalog_has_the_published_statistics(industrial):
    collisions = industrial.collisions.values()

    assert len(industrial) == 3686
    assert len(industrial.item_ids_by_semantic_id) == 3670
    assert (len(collisions), sum(map(len, collisions))) == (15, 31)
    assert [len(industrial.codes_at(level)) for level in range(industrial.num_levels)] == [48, 256, 256]
    assert industrial.collisions["<a_107><b_93><c_0>"] == (181, 182)
    assert len({item.title for item in industrial}) == 3646


def test_industrial_catalog_refuses_one_altered_code(amazon_file, tmp_path):
    index_file = tmp_path / "altered.index.json"
    text = amazon_file("index/*.index.json").read_text(encoding="utf-8")
    index_file.write_text(text.replace("<c_226>", "<c_227>", 1), encoding="utf-8")

    with pytest.raises(DataError, match=r"semantic ID `<a_236><b_231><c_226>` is `<a_236><b_231><c_227>`"):
        read_catalog(index_file, amazon_file("index/*.item.json"), amazon_file("info/*.txt"))

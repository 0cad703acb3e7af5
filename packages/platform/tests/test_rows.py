import json
import tracemalloc

import pytest

from burnish.platform.errors import RunError
from burnish.platform.statistics.rows import read_rows, row_cut, row_line, size_of_rows_kept
from burnish.platform.statistics.summary import summarize

pytestmark = pytest.mark.fast


def _written(directory, steps):
    path = directory / "metrics.jsonl"
    with path.open("ab") as file:
        for step in steps:
            file.write(row_line("sft", step, {"train/loss": step / 3}))
    return path


def test_row_line_is_one_line_of_json_with_stage_and_step_first():
    line = row_line("sft", 3, {"text": "a\nb\u2028c"})
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert list(json.loads(line).items()) == [("stage", "sft"), ("step", 3), ("text", "a\nb\u2028c")]


def test_read_rows_leaves_a_torn_last_line_out(tmp_path):
    path = _written(tmp_path, range(3))
    path.write_bytes(path.read_bytes() + b'{"stage": "sft", "st')
    assert [row["step"] for row in read_rows(path)] == [0, 1, 2]


def test_read_rows_of_no_file_is_empty(tmp_path):
    assert list(read_rows(tmp_path / "none.jsonl")) == []


def test_row_cut_keeps_accepted_rows_byte_for_byte_and_drops_a_torn_line(tmp_path):
    path = _written(tmp_path, range(5))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines) + lines[0][:9])
    row_cut(path, lambda stage, step: stage == "sft" and step <= 2)()
    assert path.read_bytes() == b"".join(lines[:3])
    assert [item.name for item in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_row_cut_then_append_equals_an_uninterrupted_file(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    whole = _written(tmp_path / "a", range(6)).read_bytes()
    path = _written(tmp_path / "b", range(4))
    path.write_bytes(path.read_bytes()[:-3])
    row_cut(path, lambda _, step: step <= 1)()
    assert _written(tmp_path / "b", range(2, 6)).read_bytes() == whole


def test_append_without_a_cut_differs_from_an_uninterrupted_file(tmp_path):
    path = _written(tmp_path, range(4))
    once = path.read_bytes()
    assert _written(tmp_path, range(2, 4)).read_bytes() != once


def test_row_cut_of_no_file_does_nothing(tmp_path):
    row_cut(tmp_path / "none.jsonl", lambda *_: True)()
    assert list(tmp_path.iterdir()) == []


def test_row_cut_that_keeps_everything_leaves_the_file_alone(tmp_path):
    path = _written(tmp_path, range(3))
    before = path.stat()
    row_cut(path, lambda *_: True)()
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("broken", [b"{oops\n", b"[1]\n", b'{"stage": "sft"}\n', b"\n"])
def test_a_broken_line_in_the_middle_is_named_before_anything_is_cut(tmp_path, broken):
    path = _written(tmp_path, range(3))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(content := lines[0] + broken + lines[2])
    with pytest.raises(RunError, match=r"metrics\.jsonl:2"):
        row_cut(path, lambda *_: False)
    with pytest.raises(RunError, match=r"metrics\.jsonl:2"):
        list(read_rows(path))
    assert path.read_bytes() == content


def test_row_cut_of_rows_apart_keeps_each_byte_for_byte(tmp_path):
    path = _written(tmp_path, range(6))
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [0, 1, 3, 5]
    assert size_of_rows_kept(path, lambda _, step: step in kept) == sum(len(lines[step]) for step in kept)
    row_cut(path, lambda _, step: step in kept)()
    assert path.read_bytes() == b"".join(lines[step] for step in kept)


@pytest.fixture
def long_file(tmp_path):
    """A file of rows of which three megabytes are to be kept."""
    path = tmp_path / "metrics.jsonl"
    text = "x" * 3000
    path.write_bytes(b"".join(row_line("sft", step, {"text": text}) for step in range(1200)))
    return path


def peak_bytes(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


READERS = {
    "summary": lambda path: summarize(read_rows(path), {}),
    "size": lambda path: size_of_rows_kept(path, lambda _, step: step < 1000),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
def test_a_long_file_is_read_without_holding_it(long_file, reader):
    assert peak_bytes(lambda: reader(long_file)) < 200_000


def test_a_long_file_is_cut_by_the_megabyte(long_file):
    assert peak_bytes(lambda: row_cut(long_file, lambda _, step: step < 1000)()) < 2_500_000
    assert [row["step"] for row in read_rows(long_file)] == list(range(1000))


def test_twin_a_reader_that_holds_the_rows_is_seen(long_file):
    assert peak_bytes(lambda: list(read_rows(long_file))) > 3_000_000

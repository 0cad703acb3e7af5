"""Each operation on the disk is cut once: what carries a name is whole or absent, and the rest is swept."""

import errno
import os
import resource
from contextlib import contextmanager

import pytest

from burnish.platform import atomic

pytestmark = pytest.mark.fast


class Died(BaseException):
    """The process is gone: nothing catches it."""


@pytest.fixture
def die_at(monkeypatch):
    """Let the operation of a number (from 0) be the process's last, half done where it is a write."""
    perform = atomic.perform

    def set_up(number):
        done = []

        def dying(operation, *arguments, **options):
            done.append(operation)
            if len(done) <= number:
                return perform(operation, *arguments, **options)
            if len(done) == number + 1 and operation is os.write:
                descriptor, content = arguments
                os.write(descriptor, content[: len(content) // 2])
            raise Died

        monkeypatch.setattr(atomic, "perform", dying)

    yield set_up
    monkeypatch.setattr(atomic, "perform", perform)


def cut_everywhere(die_at, prepare, act):
    """Yield the place after `act` has died at each of its operations in turn, swept by the next process."""
    number, died = 0, True
    while died:
        place = prepare(number)
        die_at(number)
        try:
            act(place)
            died = False
        except Died:
            number += 1
        die_at(10**9)
        yield place
        atomic.sweep(place)
        assert not list(place.rglob(".*"))
    assert number > 2


def tree_of(directory):
    return {str(p.relative_to(directory)): p.read_text() for p in directory.rglob("*") if p.is_file()}


def test_a_file_published_over_another_is_one_of_the_two_wherever_it_is_cut(die_at, tmp_path):
    def prepare(number):
        (place := tmp_path / str(number)).mkdir()
        (place / "f").write_text("before")
        return place

    found = [
        (place / "f").read_text()
        for place in cut_everywhere(die_at, prepare, lambda place: atomic.publish_file(place / "f", b"after"))
    ]
    assert set(found) == {"before", "after"}
    assert found[0] == "before"
    assert found[-1] == "after"


def test_a_file_published_piece_by_piece_is_one_of_the_two_wherever_it_is_cut(die_at, tmp_path):
    def prepare(number):
        (place := tmp_path / str(number)).mkdir()
        (place / "f").write_text("before")
        return place

    def act(place):
        with atomic.publishing_file(place / "f") as write:
            for piece in (b"af", b"t", b"er"):
                write(piece)

    found = [(place / "f").read_text() for place in cut_everywhere(die_at, prepare, act)]
    assert set(found) == {"before", "after"}


def test_a_file_whose_pieces_end_in_an_error_is_what_was_there(tmp_path):
    (tmp_path / "f").write_text("before")

    def fail():
        with atomic.publishing_file(tmp_path / "f") as write:
            write(b"aft")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (tmp_path / "f").read_text() == "before"


def test_a_file_that_is_shortened_is_whole_or_short_wherever_it_is_cut(die_at, tmp_path):
    def prepare(number):
        (place := tmp_path / str(number)).mkdir()
        (place / "f").write_text("before")
        return place

    def act(place):
        atomic.shorten(place / "f", 2)
        atomic.flush(place)

    found = [(place / "f").read_text() for place in cut_everywhere(die_at, prepare, act)]
    assert set(found) == {"before", "be"}


def test_twin_a_file_written_in_place_is_torn_somewhere(die_at, tmp_path):
    def prepare(number):
        (place := tmp_path / str(number)).mkdir()
        (place / "f").write_text("before")
        return place

    def act(place):
        for _ in range(3):
            atomic.write_file(place / "f", b"after")

    found = {(place / "f").read_text() for place in cut_everywhere(die_at, prepare, act)}
    assert not found <= {"before", "after"}


def _fill(path, text):
    for name in ("a", "b"):
        atomic.write_file(path / name, text)
    atomic.add_directory(path / "sub")
    atomic.write_file(path / "sub" / "c", text)


def _whole(text):
    return {"a": text, "b": text, "sub/c": text}


@pytest.mark.parametrize("is_there", [False, True])
def test_a_directory_published_is_whole_or_absent_wherever_it_is_cut(die_at, tmp_path, is_there):
    def prepare(number):
        (place := tmp_path / str(number)).mkdir()
        if is_there:
            (place / "d").mkdir()
            _fill(place / "d", b"before")
        return place

    def act(place):
        _fill(atomic.begin_directory(place / "d"), b"after")
        atomic.publish_directory(place / "d")

    found = [tree_of(place / "d") for place in cut_everywhere(die_at, prepare, act)]
    assert all(tree in ({}, _whole("before"), _whole("after")) for tree in found)
    assert found[0] == (_whole("before") if is_there else {})
    assert found[-1] == _whole("after")
    assert found.count({}) == (1 if is_there else len(found) - found.count(_whole("after")))


def test_a_directory_removed_is_whole_or_absent_wherever_it_is_cut(die_at, tmp_path):
    def prepare(number):
        (place := tmp_path / str(number)).mkdir()
        (place / "d").mkdir()
        _fill(place / "d", b"x")
        return place

    found = [
        tree_of(place / "d")
        for place in cut_everywhere(die_at, prepare, lambda place: atomic.remove(place / "d"))
    ]
    assert (found[0], found[-1]) == (_whole("x"), {})
    assert all(tree in ({}, _whole("x")) for tree in found)


def test_a_directory_that_cannot_be_renamed_leaves_what_was_there(monkeypatch, tmp_path):
    (tmp_path / "d").mkdir()
    _fill(tmp_path / "d", b"before")
    aside = atomic.begin_directory(tmp_path / "d")
    perform = atomic.perform

    def failing(operation, *arguments, **options):
        if operation is os.rename and arguments[0] == aside:
            raise OSError(errno.EIO, "the disk is failing")
        return perform(operation, *arguments, **options)

    monkeypatch.setattr(atomic, "perform", failing)
    with pytest.raises(OSError, match="failing"):
        atomic.publish_directory(tmp_path / "d")
    assert tree_of(tmp_path / "d") == _whole("before")


def test_begin_directory_is_empty_whatever_was_left(tmp_path):
    for leftover in (b"1", b"2"):
        aside = atomic.begin_directory(tmp_path / "d")
        assert list(aside.iterdir()) == []
        _fill(aside, leftover)
    atomic.publish_directory(tmp_path / "d")
    assert tree_of(tmp_path) == {f"d/{name}": text for name, text in _whole("2").items()}


def test_sweep_deletes_leftovers_at_any_depth_and_nothing_else(tmp_path):
    kept = {"f", "sub/.hidden", "sub/x.writing"}
    for name in (*kept, ".f.writing", "sub/.d.removed/a/b", "sub/.d.removed/.g.writing"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    atomic.sweep(tmp_path)
    assert tree_of(tmp_path).keys() == kept


def test_remove_of_nothing_does_nothing(tmp_path):
    atomic.remove(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_make_directory_in_the_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "f").write_text("")
    atomic.make_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    with pytest.raises(OSError, match="Not a directory"):
        atomic.make_directory(tmp_path / "f")
    with pytest.raises(OSError, match="Not a directory"):
        atomic.make_directory(tmp_path / "f" / "below")


@contextmanager
def files_end_at(size):
    """Let files grow to some bytes and no further, as on a full disk; pytest's own log is one, too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_append_when_the_disk_takes_a_part_leaves_none_of_it(tmp_path):
    file = atomic.AppendedFile(tmp_path / "rows")
    file.append(b"first\n")
    with files_end_at(10):
        with pytest.raises(OSError, match="large"):
            file.append(b"second\n")
        file.append(b"3rd\n")
    file.close()
    assert (tmp_path / "rows").read_bytes() == b"first\n3rd\n"


def test_twin_a_plain_append_leaves_a_part(tmp_path):
    with (tmp_path / "rows").open("ab", buffering=0) as file:
        file.write(b"first\n")
        with files_end_at(10):
            file.write(b"second\n")
    assert (tmp_path / "rows").read_bytes() == b"first\nseco"


def test_appended_files_go_on_where_they_ended(tmp_path):
    for line in (b"a\n", b"b\n"):
        file = atomic.AppendedFile(tmp_path / "rows")
        file.append(line)
        file.close()
    assert (tmp_path / "rows").read_bytes() == b"a\nb\n"

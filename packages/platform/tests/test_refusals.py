"""A run that is refused before its first row takes back the directory it has made, and no other."""

import itertools
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from burnish.platform import atomic
from burnish.platform.errors import RunError
from burnish.platform.runs import lock
from burnish.platform.runs.lock import RunLock
from burnish.platform.runs.run_directory import RunDirectory
from burnish.platform.testing_disk import WatchedDisk

REFUSED = "stages.tally.breaks_at=0"
RUN = Path("runs/x")


def is_refused(tally, *words):
    status, _, err = tally(*tally.chain, REFUSED, *words)
    return (status, err.count("\n"), "the data ends here" in err) == (2, 1, True)


def test_a_refusal_before_the_first_row_leaves_nothing(tally):
    before = sorted(Path().rglob("*"))
    assert is_refused(tally)
    assert sorted(Path().rglob("*")) == before


def test_a_refusal_leaves_other_runs_and_their_directory(tally, uninterrupted):
    assert tally(*tally.chain[:-1], "run.name=y")[0] == 0
    assert is_refused(tally)
    assert sorted(Path("runs").iterdir()) == [Path("runs/y")]
    assert tally(*tally.chain)[0] == 0
    assert (tally.rows(), tally.samples()) == uninterrupted


def test_a_directory_that_was_there_keeps_what_it_had(tally):
    RUN.mkdir(parents=True)
    (RUN / "notes.txt").write_text("mine", encoding="utf-8")
    assert is_refused(tally)
    assert (RUN / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert tally.status()["phase"] == "refused"


WORTH = [
    "metrics.jsonl",
    "samples/rollouts.jsonl",
    "stages/1-a/catalog/items",
    "stages/1-a/done.json",
    "stages/1-a/export/value",
    "tb/events.out.tfevents.0.1.a",
]


@pytest.mark.parametrize("worth", WORTH)
def test_a_directory_with_something_of_worth_is_not_taken_back(tmp_path, worth):
    root = RunDirectory(tmp_path / "runs/x")
    root.acquire()
    atomic.publish_file(root.path / worth, b"1")
    root.take_back()
    assert (root.path / worth).is_file()
    (root.path / worth).unlink()
    root.take_back()
    root.release()
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_of_the_second_stage_keeps_the_first(tally):
    broken = "stages.tally_2.breaks_at=0"
    status, _, err = tally(*tally.chain, broken)
    assert (status, "the stages before 'tally_2' are kept; go on with: train" in err) == (2, True)
    assert tally.status()["phase"] == "failed"
    tally.take_back((broken,))
    assert tally(*tally.chain, "checkpoint.resume_from=latest")[0] == 0


def test_a_process_that_dies_while_it_is_refused_leaves_the_name_free(tally, uninterrupted):
    disk = WatchedDisk(Path("runs"))
    for number in itertools.count():
        shutil.rmtree("runs", ignore_errors=True)
        with disk.dying_at(number) as died:
            is_refused(tally)
        if not died:
            break
        status, _, err = tally(*tally.chain)
        assert (status, tally.rows(), tally.samples()) == (0, *uninterrupted), (disk.operations[number], err)
        assert not list(Path("runs").rglob(".*")), disk.operations[number]
    assert number > 30
    assert not Path("runs").exists()


def test_a_disk_that_keeps_the_directory_has_its_true_status(tally):
    disk = WatchedDisk(Path("runs"))
    with disk.only_watching():
        assert is_refused(tally)
    at = disk.operations.index(("os.rename", Path("runs/.x.removed").resolve()))
    with disk.failing_at(at, 30, is_lasting=False):
        assert is_refused(tally)
    assert tally.status()["phase"] == "refused"
    assert tally(*tally.chain)[0] == 0


def _lock_as_the_directory_goes(directory, monkeypatch, **broken):
    """Take the lock of a directory whose holder takes it back after the file was opened."""
    root = RunDirectory(directory)
    root.acquire()

    def late(*words):
        descriptor = os.open(*words)
        root.take_back()
        root.release()
        return descriptor

    monkeypatch.setattr(lock, "os", SimpleNamespace(**{**vars(os), "open": late, **broken}))
    RunLock(directory).acquire()


def test_the_lock_of_a_directory_that_was_taken_back_is_nobodys(tmp_path, monkeypatch):
    with pytest.raises(RunError, match="is being written by process"):
        _lock_as_the_directory_goes(tmp_path / "x", monkeypatch)


def test_twin_a_lock_that_is_believed_wherever_it_lies_locks_nothing(tmp_path, monkeypatch):
    _lock_as_the_directory_goes(tmp_path / "x", monkeypatch, fstat=lambda _: os.stat(tmp_path))
    assert not (tmp_path / "x").exists()

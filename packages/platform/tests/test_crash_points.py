"""A run that dies at any operation on the disk and is started again ends as one that nobody interrupted."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

from burnish.platform import atomic
from burnish.platform.checkpoint.manifest import verify
from burnish.platform.checkpoint.orbax import OrbaxBackend
from burnish.platform.checkpoint.step_directory import read_state, read_tree
from burnish.platform.configuration.composition import compose_config
from burnish.platform.errors import CheckpointError
from burnish.platform.runs import pipeline
from burnish.platform.statistics.summary import without_machine
from burnish.platform.testing import left_by
from burnish.platform.testing_disk import WatchedDisk

NAMED = ("checkpoint.keep_best=eval/accuracy", "run.name=x", "checkpoint.resume_from=latest")
PLACES = (
    *("config.yaml", "run.json", "status.json", "lock", "reserve", "metrics.jsonl", "walk.jsonl"),
    *(".step_2.writing", ".step_1.removed", ".export.writing", "done.json", "summary.json"),
)
OPERATIONS = {"open", "write", "fsync", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}
RUN = Path("runs/x")
LIKE = {"value": np.zeros(3, np.float32)}


@pytest.fixture
def started(tally, monkeypatch):
    """Return a function that runs the chain with a backend, and waits for what orbax still writes."""
    saving = []
    save = OrbaxBackend.save
    monkeypatch.setattr(OrbaxBackend, "save", lambda self, *words: (saving.append(self), save(self, *words)))

    def start(backend):
        try:
            pipeline.execute(configs[backend])
        finally:
            while saving:
                saving.pop().wait()

    configs = {
        name: compose_config([*tally.saving, *NAMED, f"checkpoint.backend={name}"])
        for name in ("msgpack", "orbax")
    }
    return start


def left_with_checkpoints(run):
    """Everything that a run leaves, but for clocks, machine and how orbax calls its files."""
    checkpoints = {
        path.relative_to(run).as_posix(): (
            read_state(path),
            read_tree(verify(path), "walk/params", LIKE)["value"].tobytes(),
        )
        for path in run.glob("stages/*/checkpoints/*")
    }
    left = left_by(run)
    return {
        **left,
        "checkpoints": {name: _without_machine(*content) for name, content in checkpoints.items()},
        "names": [name for name in left["names"] if "step_" not in name],
    }


def _without_machine(state, params):
    return {**state, "metrics": without_machine(state["metrics"])}, params


def whole_run(started, backend):
    with WatchedDisk(RUN).only_watching():
        started(backend)
    return left_with_checkpoints(RUN)


def cut_everywhere(started, backend, every=1):
    """Yield what the run leaves after its operation 0, 1, ... was its last, with the operation.

    The process that goes on dies as well, early or late, and a third one ends the run.
    """
    disk = WatchedDisk(RUN, unseen=("arrays", "arrays.orbax-checkpoint-tmp"))
    for number in itertools.count(0, every):
        shutil.rmtree("runs", ignore_errors=True)
        with disk.dying_at(number) as died:
            started(backend)
        if not died:
            assert number > 100
            return
        cut = disk.operations[number]
        with disk.dying_at(number * 7 % 101):
            started(backend)
        yield cut, whole_run(started, backend)


@pytest.mark.parametrize(
    ("backend", "every"),
    [
        ("msgpack", 5),
        ("orbax", 17),
        pytest.param("msgpack", 1, marks=pytest.mark.slow),
        pytest.param("orbax", 1, marks=pytest.mark.slow),
    ],
)
def test_a_run_cut_at_any_operation_and_started_again_equals_the_whole_one(
    started, backend, every, record_property
):
    whole, count = whole_run(started, backend), 0
    for cut, left in cut_everywhere(started, backend, every):
        assert {key: value for key, value in left.items() if value != whole[key]} == {}, cut
        count += 1
    record_property("operations cut", count)


def test_the_operations_that_are_cut_are_of_every_kind_and_at_every_file(started):
    disk = WatchedDisk(RUN)
    with disk.only_watching():
        started("msgpack")
    assert {name for name, _ in disk.operations} >= OPERATIONS
    for each in PLACES:
        assert any(each in str(path) for _, path in disk.operations), f"nothing would be cut at {each}"


def test_twin_where_a_checkpoint_is_written_in_place_some_cut_is_seen(started, monkeypatch):
    whole = whole_run(started, "msgpack")

    def begin(path):
        atomic.make_directory(path)
        return path

    monkeypatch.setattr(atomic, "begin_directory", begin)
    monkeypatch.setattr(atomic, "publish_directory", lambda _: None)
    cuts = cut_everywhere(started, "msgpack", 7)
    with pytest.raises((CheckpointError, FileExistsError, AssertionError)):
        assert all(left == whole for _, left in cuts)

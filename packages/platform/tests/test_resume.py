"""Going back to an earlier checkpoint, cut at each operation: the next process finds a whole run."""

import json
import shutil
from functools import partial

import numpy as np
import pytest

from burnish.platform import atomic
from burnish.platform.checkpoint.snapshot import Snapshot
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import (
    CheckpointConfig,
    Config,
    JaxConfig,
    LoggingConfig,
    RunConfig,
)
from burnish.platform.errors import RunError
from burnish.platform.runs import resume
from burnish.platform.runs.checkpoints import checkpoints_of
from burnish.platform.runs.finished_stage import FinishedStage
from burnish.platform.runs.rewind import finish_rewind, rewind
from burnish.platform.runs.run_directory import RunDirectory
from burnish.platform.statistics.rows import read_rows, row_line
from burnish.platform.statistics.sink import RunEnd, SinkRow
from burnish.platform.statistics.sinks.tensorboard import TensorBoardSink
from burnish.platform.testing import shown_points

pytestmark = pytest.mark.fast

STEPS = 4
STAGES = ("a", "b")


class Died(BaseException):
    """The process is gone: nothing catches it."""


class _Weights:
    def save_state(self):
        return Snapshot(trees={"params": {"w": np.ones(3)}})


@pytest.fixture
def config():
    return Config(
        run=RunConfig(),
        jax=JaxConfig(),
        checkpoint=CheckpointConfig(save_total_limit=None, resume_from="latest"),
        logging=LoggingConfig(sinks={}),
        shared={},
        stages=dict.fromkeys(STAGES),
        resolved={},
        components=(),
    )


def _manager(root, config, index):
    return checkpoints_of(root.stage(index, STAGES[index - 1]), config.checkpoint)


@pytest.fixture
def begun(tmp_path, config):
    """Return a function that makes a run: stage a is finished, b is at its last step."""

    def make(name):
        root = RunDirectory(tmp_path / name)
        sink = TensorBoardSink(root.path)
        for index, stage in enumerate(STAGES, 1):
            manager = _manager(root, config, index)
            for step in range(STEPS + 1):
                line = row_line(stage, step, {"x": step})
                for file in (root.metrics, root.path / "samples" / "x.jsonl"):
                    file.parent.mkdir(exist_ok=True)
                    with file.open("ab") as stream:
                        stream.write(line)
                at = _global_step(index, step)
                row = SinkRow(stage=stage, step=step, last_step=STEPS, global_step=at)
                sink.commit(row, {"x": step})
                if step in (2, STEPS):
                    manager.save(step, {"training": _Weights()}, {}, root.flush_records())
            manager.wait()
        sink.close(RunEnd("complete"))
        for index, stage in enumerate(STAGES, 1):
            root.finish_stage(index, stage, FinishedStage(Artifacts(), STEPS + 1))
        root.status("complete")
        return root

    return make


def _global_step(index, step):
    return (index - 1) * (STEPS + 1) + step


@pytest.mark.parametrize(("index", "step"), [(1, 2), (1, STEPS), (2, 2)])
def test_rewind_wherever_it_dies_is_finished_by_the_next_process(
    begun, config, monkeypatch, index, step, record_property
):
    whole, number, died, perform = begun("whole"), 0, True, atomic.perform
    while died:
        root = RunDirectory(shutil.copytree(whole.path, whole.path.with_name(str(number))))
        records = _manager(root, config, index).verify(step).facts["records"]
        died = cut_at_operation(number, monkeypatch, partial(rewind, root, config, index, step, records))
        monkeypatch.setattr(atomic, "perform", perform)
        root = RunDirectory(root.path)
        assert root.is_complete == (snapshot(root) == snapshot(whole)), "half a run is not complete"
        if not root.is_complete:
            finish_rewind(root, config)
            found = resume.find_starting_point(config, root)
            assert (found.stage_index, found.step) == (index, step)
            assert points_of(root) == points_up_to(index, step), "the intent says how much is kept"
            rewind(root, config, found.stage_index, found.step, found.records)
            assert not list(root.path.rglob(".*"))
            assert rows_of(root) == [rows_up_to(index, step)] * 2
            assert points_of(root) == points_up_to(index, step)
            assert not root.is_complete
        number += 1
    record_property("operations cut", number - 1)
    assert number > 5


@pytest.mark.parametrize("index", [1, 2])
def test_rewind_to_the_beginning_of_a_stage_keeps_the_events_of_those_before(begun, config, index):
    root = begun("x")
    rewind(root, config, index, None)
    assert points_of(root) == points_up_to(index, -1)


def test_twin_without_the_intent_half_a_run_says_that_it_is_complete(begun, config, monkeypatch):
    root = begun("x")
    monkeypatch.setattr(RunDirectory, "write_json", lambda *_: None)
    assert cut_at_operation(6, monkeypatch, lambda: rewind(root, config, 1, 2))
    assert RunDirectory(root.path).is_complete


def cut_at_operation(number, monkeypatch, function):
    """Call a function whose operation `number` on the disk never happens; return whether there was one."""
    perform, left = atomic.perform, number

    def dying(operation, *arguments, **options):
        nonlocal left
        left -= 1
        if left < 0:
            raise Died
        return perform(operation, *arguments, **options)

    monkeypatch.setattr(atomic, "perform", dying)
    try:
        function()
    except Died:
        return True
    return False


def snapshot(root):
    """What lies in a run, but for what is hidden and when it was said."""
    files = [path for path in root.path.rglob("*") if path.is_file() and path.name != "status.json"]
    seen = {str(path.relative_to(root.path)): path.read_bytes() for path in files}
    return {name: content for name, content in seen.items() if "/." not in f"/{name}"}


def rows_of(root):
    return [[(row["stage"], row["step"]) for row in read_rows(file)] for file in root.row_files]


def rows_up_to(index, step):
    last = {1: step, 2: -1} if index == 1 else {1: STEPS, 2: step}
    return [(stage, row) for number, stage in enumerate(STAGES, 1) for row in range(last[number] + 1)]


def points_of(root):
    """The points in the files, which TensorBoard shows all of."""
    shown = shown_points(root.path)
    assert len({(tag, step) for tag, step, _ in shown}) == len(shown)
    return shown


def points_up_to(index, step):
    kept = [(1, row) for row in range(STEPS + 1)] if index == 2 else []
    kept += [(index, row) for row in range(step + 1)]
    return [("x", _global_step(number, row), float(row)) for number, row in kept]


def test_rewind_of_a_broken_row_changes_nothing(begun, config):
    root = begun("x")
    with (root.path / "samples" / "x.jsonl").open("a", encoding="utf-8") as file:
        file.write("{oops\n" + json.dumps({"stage": "b", "step": 5}) + "\n")
    before = {path: path.stat().st_mtime_ns for path in root.path.rglob("*")}
    with pytest.raises(RunError, match=r"x\.jsonl:11"):
        rewind(root, config, 1, 2)
    assert {path: path.stat().st_mtime_ns for path in root.path.rglob("*")} == before

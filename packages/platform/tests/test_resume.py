"""Going back to an earlier checkpoint, cut at each operation: the next process finds a whole run."""

import json
import shutil

import numpy as np
import pytest

from burnish.platform import atomic
from burnish.platform.artifacts import Artifacts
from burnish.platform.checkpoint.manager import CheckpointManager
from burnish.platform.checkpoint.snapshot import Snapshot
from burnish.platform.configuration.config import (
    CheckpointConfig,
    Config,
    JaxConfig,
    LoggingConfig,
    RunConfig,
)
from burnish.platform.errors import RunError
from burnish.platform.runs import resume
from burnish.platform.runs.run_directory import FinishedStage, RunDirectory
from burnish.platform.statistics.rows import read_rows, row_cut, row_line

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
    return CheckpointManager(root.stage(index, STAGES[index - 1]) / "checkpoints", config.checkpoint)


@pytest.fixture
def begun(tmp_path, config):
    """Return a function that makes a run: stage a is finished, b is at its last step."""

    def make(name):
        root = RunDirectory(tmp_path / name)
        for index, stage in enumerate(STAGES, 1):
            manager = _manager(root, config, index)
            for step in (2, STEPS):
                manager.save(step, {"training": _Weights()}, {})
            manager.wait()
            lines = b"".join(row_line(stage, step, {"x": step}) for step in range(STEPS + 1))
            for file in (root.metrics, root.path / "samples" / "x.jsonl"):
                file.parent.mkdir(exist_ok=True)
                with file.open("ab") as stream:
                    stream.write(lines)
        root.finish_stage(1, "a", FinishedStage(Artifacts(), STEPS + 1))
        return root

    return make


def _is_whole(root, config):
    """Say whether the run has every row up to where `latest` goes on."""
    start = resume.find_starting_point(config, root)
    kept = -1 if start.step is None else start.step
    wanted = [("a", step) for step in range(STEPS + 1 if start.stage_index == 2 else kept + 1)]
    wanted += [("b", step) for step in range(kept + 1 if start.stage_index == 2 else 0)]
    files = (root.metrics, root.path / "samples" / "x.jsonl")
    found = [[(row["stage"], row["step"]) for row in read_rows(file)] for file in files]
    return all(rows[: len(wanted)] == wanted for rows in found)


@pytest.mark.parametrize(("index", "step"), [(1, 2), (1, STEPS), (2, 2)])
def test_cut_after_wherever_it_dies_leaves_a_run_that_goes_on(begun, config, monkeypatch, index, step):
    whole, number, died, perform = begun("whole"), 0, True, atomic.perform
    while died:
        root = RunDirectory(shutil.copytree(whole.path, whole.path.with_name(str(number))))
        start = resume.StartingPoint(index, _manager(root, config, index).verify(step))
        left = number

        def dying(operation, *arguments, **options):
            nonlocal left
            left -= 1
            if left < 0:
                raise Died
            return perform(operation, *arguments, **options)

        monkeypatch.setattr(atomic, "perform", dying)
        try:
            resume.cut_after(root, start, config)
            died = False
        except Died:
            number += 1
        monkeypatch.setattr(atomic, "perform", perform)
        assert _is_whole(root, config)
        resume.cut_after(root, start, config)
        found = resume.find_starting_point(config, root)
        assert (found.stage_index, found.step) == (index, step)
        assert not list(root.path.rglob(".*"))
        last = read_rows(root.metrics)[-1]
        assert (last["stage"], last["step"]) == (STAGES[index - 1], step)
    assert number > 5


def test_twin_a_run_whose_rows_are_cut_first_is_not_whole(begun, config):
    root = begun("x")
    assert _is_whole(root, config)
    row_cut(root.metrics, lambda stage, step: stage == "a" and step <= 2)()
    assert not _is_whole(root, config)


def test_cut_after_of_a_broken_row_changes_nothing(begun, config):
    root = begun("x")
    with (root.path / "samples" / "x.jsonl").open("a", encoding="utf-8") as file:
        file.write("{oops\n" + json.dumps({"stage": "b", "step": 5}) + "\n")
    before = {path: path.stat().st_mtime_ns for path in root.path.rglob("*")}
    start = resume.StartingPoint(1, _manager(root, config, 1).verify(2))
    with pytest.raises(RunError, match=r"x\.jsonl:11"):
        resume.cut_after(root, start, config)
    assert {path: path.stat().st_mtime_ns for path in root.path.rglob("*")} == before

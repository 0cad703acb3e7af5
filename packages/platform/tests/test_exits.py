"""What a run leaves when it ends in the middle: whole saves, signals that count, nothing of another."""

import json
import os
import signal
import time
from pathlib import Path

import jax
import pytest

from burnish.platform import atomic
from burnish.platform.cli import exit_status
from burnish.platform.errors import ConfigError
from burnish.platform.runs.interrupts import Interrupts
from burnish.platform.runs.pipeline import RunEnd, _record_end
from burnish.platform.runs.run_directory import RunDirectory
from burnish.platform.statistics.logger import StatsLogger

MAKE_AND_USE = """
from dataclasses import dataclass
from typing import Any, ClassVar

from burnish.platform.errors import DataError
from burnish.platform.statistics.tracker import StatsTracker


@dataclass(frozen=True, kw_only=True)
class Make:
    provides: ClassVar[frozenset[str]] = frozenset({"number"})
    number: int = 1

    def build(self, run):
        return Making(self.number, run)


class Making:
    def __init__(self, number, run):
        self.number, self.stage = number, run

    def run(self, artifacts):
        directory = self.stage.stage_directory / "export"
        directory.mkdir(parents=True)
        (directory / "number").write_text(str(self.number))
        return artifacts.including("number", directory)


@dataclass(frozen=True, kw_only=True)
class Use:
    def build(self, run):
        return Using(run)


class Using:
    def __init__(self, run):
        self.stage = run

    def run(self, artifacts):
        number = int((artifacts["number"] / "number").read_text())
        if number == 1:
            raise DataError("1 is no number to learn from")
        for step in self.stage.steps(0):
            stats = StatsTracker()
            stats.scalar("use/number", number)
            self.stage.commit(step, stats)
        return artifacts
"""
QUIET = ("~sink@logging.sinks.console", "~sink@logging.sinks.tensorboard", "run.name=x")


def test_a_refused_run_keeps_its_finished_stages_and_they_serve_no_other_config(distribution, train):
    stages = {"make": "burnish_two:Make", "use": "burnish_two:Use"}
    distribution("burnish-two", {"stage": stages}, {"burnish_two.py": MAKE_AND_USE})
    status, _, err = train("stage=make+use", *QUIET)
    assert (status, "1 is no number" in err) == (2, True)
    other = ("stage=make+use", "stages.make.number=2", *QUIET)
    status, _, err = train(*other)
    assert (status, "run.name='x' exists" in err) == (2, True)
    status, _, err = train(*other, "checkpoint.resume_from=latest")
    assert (status, "stages.make.number: 1 -> 2" in err) == (2, True)
    assert Path("runs/x/stages/1-make/export/number").read_text(encoding="utf-8") == "1"


def test_a_name_that_was_refused_before_anything_was_made_is_free(distribution, train):
    distribution("burnish-two", {"stage": {"use": "burnish_two:Use"}}, {"burnish_two.py": MAKE_AND_USE})
    with pytest.raises(KeyError):
        train("stage=use", *QUIET)
    Path("runs/x/stages/1-use/half").mkdir(parents=True)
    record = Path("runs/x/status.json")
    record.write_text(record.read_text(encoding="utf-8").replace("failed", "refused"), encoding="utf-8")
    with pytest.raises(KeyError):
        train("stage=use", "run.seed=3", *QUIET)
    assert not Path("runs/x/stages").exists()


def test_a_bug_ends_the_run_after_its_last_save_and_not_before(tally, monkeypatch):
    perform = atomic.perform

    def slow(operation, *arguments, **options):
        if operation is os.rename and str(arguments[1]).endswith("step_2"):
            time.sleep(0.3)
        return perform(operation, *arguments, **options)

    monkeypatch.setattr(atomic, "perform", slow)
    with pytest.raises(ZeroDivisionError):
        tally(*tally.chain, "stages.tally.fails_at=3")
    assert Path("runs/x/stages/1-tally/checkpoints/step_2/manifest.json").is_file()


def test_a_bug_takes_note_of_a_save_that_failed_beside_it(tally, monkeypatch):
    perform = atomic.perform

    def full(operation, *arguments, **options):
        if operation is os.rename and str(arguments[1]).endswith("step_2"):
            raise OSError(28, "No space left on device")
        return perform(operation, *arguments, **options)

    monkeypatch.setattr(atomic, "perform", full)
    with pytest.raises(ZeroDivisionError) as caught:
        tally(*tally.chain, "stages.tally.fails_at=3")
    assert "the last checkpoint was not saved either" in caught.value.__notes__[0]
    assert "No space left" in caught.value.__notes__[0]


def test_a_refusal_tells_in_its_line_of_a_save_that_failed_beside_it(capsys):
    def refused(_):
        error = ConfigError("steps=0 is out of range")
        error.add_note("the last checkpoint was not saved either: No space left on device")
        raise error

    assert exit_status("train", refused, []) == 2
    assert capsys.readouterr().err == (
        "train: steps=0 is out of range; the last checkpoint was not saved either: No space left on device\n"
    )


def test_a_refusal_while_jax_traces_is_told_without_what_jax_says_of_the_traceback(capsys):
    """The twin is the error's own notes, in which jax speaks."""
    caught = []

    @jax.jit
    def traced(steps):
        raise ConfigError(f"steps: {steps.dtype} is no count")

    def refused(_):
        try:
            traced(1.0)
        except ConfigError as error:
            error.add_note("saved at step 3")
            caught.append(error)
            raise

    assert exit_status("train", refused, []) == 2
    assert capsys.readouterr().err == "train: steps: float32 is no count; saved at step 3\n"
    assert "JAX has removed its internal frames" in caught[0].__notes__[0]


def test_a_signal_while_no_step_looks_begins_no_other_stage(tally, uninterrupted, monkeypatch):
    finish = RunDirectory.finish_stage

    def signaled(self, index, name, finished):
        finish(self, index, name, finished)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(RunDirectory, "finish_stage", signaled)
        status, _, err = tally(*tally.chain)
    assert status == 143
    assert "stopped by a signal before 'tally_2'; go on with: train stage=tally+tally" in err
    assert {row["stage"] for row in tally.rows()} == {"tally"}
    assert tally(*tally.chain, "checkpoint.resume_from=latest")[0] == 0
    assert (tally.rows(), tally.samples()) == uninterrupted


def test_the_first_signal_is_answered_at_once_and_the_second_goes_through(capfd):
    received = []
    before = signal.signal(signal.SIGHUP, lambda *_: received.append("second"))
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupts.pending == signal.SIGHUP
            assert "stopping after the step at hand" in capfd.readouterr().err
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert received == ["second"]


def test_a_signal_is_noted_also_where_nobody_can_be_told(monkeypatch):
    def gone(*_):
        raise OSError(5, "Input/output error")

    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` has the tests ignore it
    try:
        with Interrupts() as interrupts:
            monkeypatch.setattr(os, "write", gone)
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupts.pending == signal.SIGHUP
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_that_the_process_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
        assert interrupts.pending is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_version_is_a_warning(tally):
    assert tally(*tally.chain, "stages.tally.stops_at=1")[0] == 3
    tally.take_back(("stages.tally.stops_at=1",))
    record = Path("runs/x/run.json")
    content = json.loads(record.read_text(encoding="utf-8"))
    now, content["versions"]["jax"] = content["versions"]["jax"], "0.1"
    record.write_text(json.dumps(content), encoding="utf-8")
    status, _, err = tally(*tally.chain, "checkpoint.resume_from=latest")
    assert status == 0, err
    assert f"warning: jax: 0.1 -> {now}: the run goes on, but not bit for bit" in err


class Closed:
    """A sink that is told of the end."""

    def close(self, end):
        self.end = end


def test_sinks_are_told_of_the_end_also_where_it_cannot_be_recorded(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    sink, end = Closed(), RunEnd("failed", "a bug")
    monkeypatch.setattr(atomic, "perform", full)
    with pytest.raises(OSError, match="No space"):
        _record_end(RunDirectory(tmp_path), StatsLogger({"closed": sink}), end)
    assert sink.end == end


LEAVING = """
import sys
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Leave:
    def build(self, run):
        return Leaving()


class Leaving:
    def run(self, artifacts):
        sys.exit(0)
"""


def test_a_component_that_exits_is_a_bug_with_its_place(distribution, train):
    stages = {"leave": "burnish_leaving:Leave"}
    distribution("burnish-leaving", {"stage": stages}, {"burnish_leaving.py": LEAVING})
    with pytest.raises(RuntimeError, match=r"sys\.exit\(0\) was called .* at .*burnish_leaving\.py:14"):
        train("stage=leave", *QUIET)
    status = json.loads(Path("runs/x/status.json").read_text(encoding="utf-8"))
    assert status["phase"] == "failed"


def test_a_module_that_exits_when_it_is_imported_is_named(distribution, train):
    module = {"burnish_gone.py": "import sys\nsys.exit(0)\n"}
    distribution("burnish-gone", {"stage": {"gone": "burnish_gone:Gone"}}, module)
    status, _, err = train("stage=gone", *QUIET)
    assert status == 2
    assert "stage 'gone' of burnish-gone 1.0 (burnish_gone:Gone) fails to import: SystemExit: 0" in err

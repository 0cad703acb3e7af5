"""Whole runs of a stage without a model: how they start, end, and go on."""

import json
import os
import shlex
import shutil
from pathlib import Path

import pytest

from burnish.platform.runs.run_directory import RunDirectory
from burnish.platform.statistics.summary import read_rows, without_machine

TALLY = """
import os
import signal
from dataclasses import dataclass

import numpy as np

from burnish.platform.checkpoint.snapshot import Snapshot
from burnish.platform.statistics.tracker import StatsTracker


@dataclass(frozen=True, kw_only=True)
class Tally:
    steps: int = 4
    fails_at: int = -1
    stops_at: int = -1
    is_terminated_at: int = -1

    def build(self, run):
        return TallyStage(self, run)


class Walk:
    def __init__(self):
        self.value = np.zeros(3, np.float32)

    def save_state(self):
        return Snapshot(trees={"params": {"value": self.value}}, json={"sign": 1})

    def load_state(self, restored):
        self.value = restored.tree("params", {"value": self.value})["value"] * restored.json["sign"]


class TallyStage:
    def __init__(self, config, run):
        self.config, self.run_ = config, run

    def run(self, artifacts):
        config, run, walk = self.config, self.run_, Walk()
        received = artifacts.get("walk")
        offset = 0.0 if received is None else float(received.joinpath("value").read_text())
        for step in run.steps(config.steps, walk=walk):
            if step:
                walk.value = walk.value * np.float32(0.7) + np.float32(step + offset)
            if step == config.is_terminated_at:
                os.kill(os.getpid(), signal.SIGTERM)
            if step == config.fails_at:
                raise ZeroDivisionError("a bug")
            if step == config.stops_at:
                run.stop("it walked too far")
            run.samples("walk").write(step, [{"value": float(walk.value[0])}])
            stats = StatsTracker()
            stats.scalar("walk/value", walk.value[0])
            stats.scalar("eval/accuracy", -abs(step - 2))
            run.commit(step, stats)
        directory = run.stage_directory / "export"
        directory.mkdir(parents=True, exist_ok=True)
        directory.joinpath("value").write_text(str(walk.value[0]))
        return artifacts.including("walk", directory)
"""
QUIET = ("~sink@logging.sinks.console", "~sink@logging.sinks.tensorboard", "run.name=x")
CHAIN = ("stage=tally+tally", "stages.tally_2.steps=3", "checkpoint.save_every_steps=2", *QUIET)


@pytest.fixture
def tally(distribution, train):
    """Install the stage `tally` and return the command, running in an empty directory."""
    distribution("burnish-tally", {"stage": {"tally": "burnish_tally:Tally"}}, {"burnish_tally.py": TALLY})

    def run(*words):
        status, out, err = train(*words)
        return status or 0, out, err

    return run


def rows(name: str = "x") -> list[dict]:
    return [without_machine(row) for row in read_rows(Path("runs", name, "metrics.jsonl"))]


def samples(name: str = "x") -> str:
    return Path("runs", name, "samples", "walk.jsonl").read_text(encoding="utf-8")


def status_of(name: str = "x") -> dict:
    return json.loads(Path("runs", name, "status.json").read_text(encoding="utf-8"))


@pytest.fixture
def uninterrupted(tally):
    """Rows and samples of the chain that nothing interrupts; its directory is removed."""
    status, _, err = tally(*CHAIN)
    assert status == 0, err
    kept = rows(), samples()
    shutil.rmtree("runs")
    return kept


def test_a_chain_writes_every_row_and_hands_directories_over(tally):
    status, out, err = tally(*CHAIN)
    assert status == 0, err
    assert [(row["stage"], row["step"]) for row in rows()] == [
        *(("tally", step) for step in range(5)),
        *(("tally_2", step) for step in range(4)),
    ]
    assert status_of()["phase"] == "complete"
    summary = json.loads(Path("runs/x/summary.json").read_text(encoding="utf-8"))
    assert summary["initial"] == {"eval/accuracy": -2.0}
    assert summary["tally_2"]["step"] == 3
    assert "after tally_2" in out
    assert Path("runs/x/stages/2-tally_2/export/value").is_file()
    provenance = json.loads(Path("runs/x/run.json").read_text(encoding="utf-8"))
    assert {"slot": "stage", "distribution": "burnish-tally"}.items() <= provenance["components"][-1].items()


@pytest.mark.parametrize("words", [("stages.tally.fails_at=3",), ("stages.tally_2.fails_at=1",)])
def test_a_bug_has_a_traceback_and_the_run_goes_on_once_it_is_gone(tally, uninterrupted, words):
    with pytest.raises(ZeroDivisionError, match="a bug"):
        tally(*CHAIN, *words)
    assert status_of()["phase"] == "failed"
    take_back(words)
    status, _, err = tally(*CHAIN, "checkpoint.resume_from=latest")
    assert status == 0, err
    assert (rows(), samples()) == uninterrupted


def take_back(words: tuple[str, ...]) -> None:
    """Write the config of the run as if the option that breaks it had not been given."""
    config = Path("runs/x/config.yaml")
    name = words[0].split("=")[0].rpartition(".")[2]
    lines = [
        f"{line.split(':')[0]}: -1" if f" {name}:" in line else line
        for line in config.read_text(encoding="utf-8").splitlines()
    ]
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_limit_saves_and_exits_with_3(tally):
    status, _, err = tally(*CHAIN, "stages.tally.stops_at=1")
    assert status == 3
    assert "it walked too far" in err
    assert status_of()["phase"] == "stopped"
    assert "it walked too far" in status_of()["reason"]
    assert Path("runs/x/stages/1-tally/checkpoints/step_1/manifest.json").is_file()


def test_sigterm_saves_says_how_to_go_on_and_exits_with_143(tally, uninterrupted):
    status, _, err = tally(*CHAIN, "stages.tally.is_terminated_at=3")
    assert status == 143
    command = err.split("go on with: ")[1].strip()
    assert command.startswith("train stage=tally+tally")
    assert command.endswith("run.name=x checkpoint.resume_from=latest")
    assert status_of()["phase"] == "interrupted"
    take_back(("stages.tally.is_terminated_at=3",))
    assert tally(*CHAIN, "checkpoint.resume_from=latest")[0] == 0
    assert (rows(), samples()) == uninterrupted


def test_the_command_that_goes_on_names_the_users_file_once_and_works(tally):
    text = "stages: {tally: {use: tally, is_terminated_at: 1}}\n"
    Path("my.yaml").write_text(text, encoding="utf-8")
    status, _, err = tally("my.yaml", *QUIET)
    assert status == 143
    words = shlex.split(err.split("go on with: ")[1])
    assert words[:2] == ["train", "my.yaml"]
    assert words.count("my.yaml") == 1
    Path("my.yaml").write_text(text.replace("at: 1", "at: -1"), encoding="utf-8")
    take_back(("stages.tally.is_terminated_at=1",))
    status, _, err = tally(*words[1:])
    assert status == 0, err


@pytest.mark.parametrize("step", ["1-tally/checkpoints/step_4", "2-tally_2/checkpoints/step_2"])
def test_a_named_checkpoint_rewinds_the_run_to_it(tally, uninterrupted, step):
    assert tally(*CHAIN)[0] == 0
    named = [word for word in CHAIN if not word.startswith("run.name")]
    status, _, err = tally(*named, f"checkpoint.resume_from=runs/x/stages/{step}")
    assert status == 0, err
    assert (rows(), samples()) == uninterrupted


def test_best_rewinds_to_the_best_checkpoint(tally):
    words = (*CHAIN, "stage=tally", "checkpoint.keep_best=eval/accuracy")
    words = tuple(word for word in words if word != "stage=tally+tally" and "tally_2" not in word)
    assert tally(*words)[0] == 0
    mark = Path("runs/x/stages/1-tally/checkpoints/step_4/mark")
    mark.touch()
    status, _, err = tally(*words, "checkpoint.resume_from=best")
    assert status == 0, err
    assert [row["step"] for row in rows()] == [0, 1, 2, 3, 4]
    assert mark.parent.is_dir()
    assert not mark.exists()


def test_another_config_is_refused_with_its_differences(tally):
    assert tally(*CHAIN)[0] == 0
    before = Path("runs/x/metrics.jsonl").read_text(encoding="utf-8")
    status, _, err = tally(*CHAIN, "run.seed=1", "stages.tally.stops_at=2", "checkpoint.resume_from=latest")
    assert status == 2
    assert "run.seed: 0 -> 1" in err
    assert "stages.tally.stops_at: -1 -> 2" in err
    assert len(err.splitlines()) == 1
    assert Path("runs/x/metrics.jsonl").read_text(encoding="utf-8") == before


def test_an_unfinished_stage_may_get_more_steps(tally):
    assert tally(*CHAIN, "stages.tally_2.stops_at=1")[0] == 3
    take_back(("stages.tally_2.stops_at=1",))
    words = [word for word in CHAIN if "tally_2" not in word]
    status, _, err = tally(*words, "stages.tally_2.steps=6", "checkpoint.resume_from=latest")
    assert status == 0, err
    assert rows()[-1]["step"] == 6


def test_a_finished_stage_may_not(tally):
    assert tally(*CHAIN, "stages.tally_2.stops_at=1")[0] == 3
    take_back(("stages.tally_2.stops_at=1",))
    status, _, err = tally(*CHAIN, "stages.tally.steps=9", "checkpoint.resume_from=latest")
    assert status == 2
    assert "stages.tally.steps: 4 -> 9" in err


def test_an_existing_name_is_refused_and_latest_on_a_finished_run_says_so(tally):
    assert tally(*CHAIN)[0] == 0
    before = Path("runs/x/metrics.jsonl").read_text(encoding="utf-8")
    status, _, err = tally(*CHAIN)
    assert status == 2
    assert "checkpoint.resume_from=latest" in err
    status, _, err = tally(*CHAIN, "checkpoint.resume_from=latest")
    assert status == 0
    assert "nothing to resume" in err
    assert Path("runs/x/metrics.jsonl").read_text(encoding="utf-8") == before


def test_a_second_writer_is_refused_and_named(tally):
    first = RunDirectory(Path("runs/x"))
    first.acquire()
    status, _, err = tally(*CHAIN)
    first.release()
    assert status == 2
    assert f"process {os.getpid()}" in err
    assert not Path("runs/x/config.yaml").exists()


def test_a_torn_last_row_is_cut(tally, uninterrupted):
    assert tally(*CHAIN, "stages.tally_2.stops_at=2")[0] == 3
    take_back(("stages.tally_2.stops_at=2",))
    with Path("runs/x/metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"stage": "tally_2", "st')
    assert tally(*CHAIN, "checkpoint.resume_from=latest")[0] == 0
    assert (rows(), samples()) == uninterrupted


def test_twin_a_restored_state_that_is_lost_shows(tally, uninterrupted, monkeypatch):
    import burnish_tally

    assert tally(*CHAIN, "stages.tally.stops_at=2")[0] == 3
    take_back(("stages.tally.stops_at=2",))
    monkeypatch.setattr(burnish_tally.Walk, "load_state", lambda *_: None)
    assert tally(*CHAIN, "checkpoint.resume_from=latest")[0] == 0
    assert (rows(), samples()) != uninterrupted


def test_a_step_that_is_not_committed_is_a_bug_of_the_loop(tally, monkeypatch):
    from burnish.platform.runs.stage_run import StageRun

    monkeypatch.setattr(StageRun, "commit", lambda *_: None)
    with pytest.raises(AssertionError, match="step 0 of 'tally' was not committed"):
        tally(*CHAIN)


DIARY = """
import json
from dataclasses import dataclass
from typing import ClassVar

from burnish.platform.checkpoint.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True)
class Diary:
    fails: bool = False

    def build(self, context):
        if self.fails:
            raise OSError("no ink")
        return Written(context)


class Written:
    opened: ClassVar[list] = []

    def __init__(self, context):
        self.context, self.rows, self.ends, self.num_before = context, [], [], 0
        self.opened.append(self)

    def commit(self, row, stats):
        self.rows.append((row.stage, row.step))

    def close(self, end):
        self.ends.append(end)
"""
WITH_DIARY = "+sink@logging.sinks.diary=burnish_diary:Diary"


@pytest.fixture
def diaries(distribution):
    """The sinks that `burnish_diary:Diary` opens, in order."""
    distribution("burnish-diary", {}, {"burnish_diary.py": DIARY})
    import burnish_diary

    return burnish_diary.Written.opened


def test_a_sink_opens_once_for_the_whole_chain_and_knows_its_run(tally, diaries):
    status, _, err = tally(*CHAIN, WITH_DIARY)
    assert status == 0, err
    (diary,) = diaries
    assert diary.rows == [(row["stage"], row["step"]) for row in rows()]
    assert [(end.phase, end.reason) for end in diary.ends] == [("complete", None)]
    context = diary.context
    assert (context.run_name, context.stages) == ("x", ("tally", "tally_2"))
    assert context.directory.resolve() == Path("runs/x").resolve()
    assert context.config["stages"]["tally_2"]["steps"] == 3
    assert context.resumed_from is None


def test_a_sink_is_told_how_the_run_ended_and_where_it_goes_on(tally, diaries):
    assert tally(*CHAIN, WITH_DIARY, "stages.tally_2.stops_at=1")[0] == 3
    take_back(("stages.tally_2.stops_at=1",))
    assert tally(*CHAIN, WITH_DIARY, "checkpoint.resume_from=latest")[0] == 0
    stopped, resumed = diaries
    (end,) = stopped.ends
    assert end.phase == "stopped"
    assert "it walked too far" in end.reason
    assert resumed.context.resumed_from == ("tally_2", 1)
    assert resumed.rows == [("tally_2", 2), ("tally_2", 3)]


def test_a_sink_that_cannot_start_ends_the_run_and_the_others_are_told(tally, diaries):
    failing = "+sink@logging.sinks.dry=burnish_diary:Diary"
    with pytest.raises(OSError, match="no ink"):
        tally(*CHAIN, WITH_DIARY, failing, "logging.sinks.dry.fails=true")
    ((end,),) = [diary.ends for diary in diaries]
    assert (end.phase, end.reason) == ("refused", "logging.sinks.dry cannot start: no ink")
    assert status_of()["phase"] == "failed"
    assert rows() == []

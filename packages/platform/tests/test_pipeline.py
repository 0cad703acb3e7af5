"""Whole runs of a stage without a model: how they start, end, and go on."""

import json
import os
import shlex
from pathlib import Path

import pytest

from burnish.platform.runs.run_directory import RunDirectory

QUIET = ("~sink@logging.sinks.console", "~sink@logging.sinks.tensorboard", "run.name=x")


def test_a_chain_writes_every_row_and_hands_directories_over(tally):
    status, out, err = tally(*tally.chain)
    assert status == 0, err
    assert [(row["stage"], row["step"]) for row in tally.rows()] == [
        *(("tally", step) for step in range(5)),
        *(("tally_2", step) for step in range(4)),
    ]
    assert tally.status()["phase"] == "complete"
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
        tally(*tally.chain, *words)
    assert tally.status()["phase"] == "failed"
    tally.take_back(words)
    status, _, err = tally(*tally.chain, "checkpoint.resume_from=latest")
    assert status == 0, err
    assert (tally.rows(), tally.samples()) == uninterrupted


def test_a_limit_saves_and_exits_with_3(tally):
    status, _, err = tally(*tally.chain, "stages.tally.stops_at=1")
    assert status == 3
    assert "it walked too far" in err
    assert tally.status()["phase"] == "stopped"
    assert "it walked too far" in tally.status()["reason"]
    assert Path("runs/x/stages/1-tally/checkpoints/step_1/manifest.json").is_file()


def test_sigterm_saves_says_how_to_go_on_and_exits_with_143(tally, uninterrupted):
    status, _, err = tally(*tally.chain, "stages.tally.is_terminated_at=3")
    assert status == 143
    command = err.split("go on with: ")[1].strip()
    assert command.startswith("train stage=tally+tally")
    assert command.endswith("run.name=x checkpoint.resume_from=latest")
    assert tally.status()["phase"] == "interrupted"
    tally.take_back(("stages.tally.is_terminated_at=3",))
    assert tally(*tally.chain, "checkpoint.resume_from=latest")[0] == 0
    assert (tally.rows(), tally.samples()) == uninterrupted


def test_the_command_that_goes_on_names_the_users_file_once_and_works(tally):
    text = "stages: {tally: {use: tally, is_terminated_at: 1}}\n"
    Path("my.yaml").write_text(text, encoding="utf-8")
    status, _, err = tally("my.yaml", *QUIET)
    assert status == 143
    words = shlex.split(err.split("go on with: ")[1])
    assert words[:2] == ["train", "my.yaml"]
    assert words.count("my.yaml") == 1
    Path("my.yaml").write_text(text.replace("at: 1", "at: -1"), encoding="utf-8")
    tally.take_back(("stages.tally.is_terminated_at=1",))
    status, _, err = tally(*words[1:])
    assert status == 0, err


@pytest.fixture
def stopped(tally, uninterrupted):  # noqa: ARG001 - its run comes first, under the same name
    """A run that stopped at step 3 of its first stage, with checkpoints of steps 2 and 3."""
    assert tally(*tally.chain, "stages.tally.stops_at=3")[0] == 3
    tally.take_back(("stages.tally.stops_at=3",))
    return tally


def drop_last(file):
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))


def double_last(file):
    file.write_bytes(file.read_bytes() + file.read_bytes().splitlines(keepends=True)[-1])


@pytest.mark.parametrize("damage", [drop_last, double_last])
@pytest.mark.parametrize("name", ["metrics.jsonl", "samples/walk.jsonl"])
def test_rows_that_are_not_those_of_the_checkpoint_send_the_run_back(stopped, uninterrupted, damage, name):
    damage(Path("runs/x") / name)
    status, _, err = stopped(*stopped.chain, "checkpoint.resume_from=latest")
    assert status == 0, err
    assert f"warning: {name}: rows up to step 3 are missing or altered; an earlier checkpoint is taken" in err
    assert (stopped.rows(), stopped.samples()) == uninterrupted


def test_twin_rows_that_are_there_send_nobody_back(stopped, uninterrupted):
    status, _, err = stopped(*stopped.chain, "checkpoint.resume_from=latest")
    assert (status, "warning" in err) == (0, False)
    assert (stopped.rows(), stopped.samples()) == uninterrupted


def test_rows_that_no_checkpoint_has_are_refused_until_one_is_named(stopped):
    Path("runs/x/metrics.jsonl").write_text("", encoding="utf-8")
    status, _, err = stopped(*stopped.chain, "checkpoint.resume_from=latest")
    assert status == 2
    assert (
        "metrics.jsonl: rows up to step 2 are missing or altered, and there is no earlier checkpoint" in err
    )
    named = "runs/x/stages/1-tally/checkpoints/step_3"
    words = [word for word in stopped.chain if not word.startswith("run.name")]
    status, _, err = stopped(*words, f"checkpoint.resume_from={named}")
    assert status == 0, err


@pytest.mark.parametrize("step", ["1-tally/checkpoints/step_4", "2-tally_2/checkpoints/step_2"])
def test_a_named_checkpoint_rewinds_the_run_to_it(tally, uninterrupted, step):
    words = (*tally.chain, "checkpoint.save_total_limit=null")
    assert tally(*words)[0] == 0
    named = [word for word in words if not word.startswith("run.name")]
    status, _, err = tally(*named, f"checkpoint.resume_from=runs/x/stages/{step}")
    assert status == 0, err
    assert (tally.rows(), tally.samples()) == uninterrupted


def test_best_rewinds_to_the_best_checkpoint(tally):
    words = (*tally.chain, "stage=tally", "checkpoint.keep_best=eval/accuracy")
    words = tuple(word for word in words if word != "stage=tally+tally" and "tally_2" not in word)
    assert tally(*words)[0] == 0
    mark = Path("runs/x/stages/1-tally/checkpoints/step_4/mark")
    mark.touch()
    status, _, err = tally(*words, "checkpoint.resume_from=best")
    assert status == 0, err
    assert [row["step"] for row in tally.rows()] == [0, 1, 2, 3, 4]
    assert mark.parent.is_dir()
    assert not mark.exists()


def test_another_config_is_refused_with_its_differences(tally):
    assert tally(*tally.chain)[0] == 0
    before = Path("runs/x/metrics.jsonl").read_text(encoding="utf-8")
    status, _, err = tally(
        *tally.chain, "run.seed=1", "stages.tally.stops_at=2", "checkpoint.resume_from=latest"
    )
    assert status == 2
    assert "run.seed: 0 -> 1" in err
    assert "stages.tally.stops_at: -1 -> 2" in err
    assert len(err.splitlines()) == 1
    assert Path("runs/x/metrics.jsonl").read_text(encoding="utf-8") == before


def test_an_unfinished_stage_may_get_more_steps(tally):
    assert tally(*tally.chain, "stages.tally_2.stops_at=1")[0] == 3
    tally.take_back(("stages.tally_2.stops_at=1",))
    words = [word for word in tally.chain if "tally_2" not in word]
    status, _, err = tally(*words, "stages.tally_2.steps=6", "checkpoint.resume_from=latest")
    assert status == 0, err
    assert tally.rows()[-1]["step"] == 6


def test_a_finished_stage_may_not(tally):
    assert tally(*tally.chain, "stages.tally_2.stops_at=1")[0] == 3
    tally.take_back(("stages.tally_2.stops_at=1",))
    status, _, err = tally(*tally.chain, "stages.tally.steps=9", "checkpoint.resume_from=latest")
    assert status == 2
    assert "stages.tally.steps: 4 -> 9" in err


def test_an_existing_name_is_refused_and_latest_on_a_finished_run_says_so(tally):
    assert tally(*tally.chain)[0] == 0
    before = Path("runs/x/metrics.jsonl").read_text(encoding="utf-8")
    status, _, err = tally(*tally.chain)
    assert status == 2
    assert "checkpoint.resume_from=latest" in err
    status, _, err = tally(*tally.chain, "checkpoint.resume_from=latest")
    assert status == 0
    assert "nothing to resume" in err
    assert Path("runs/x/metrics.jsonl").read_text(encoding="utf-8") == before


def test_a_second_writer_is_refused_and_named(tally):
    first = RunDirectory(Path("runs/x"))
    first.acquire()
    status, _, err = tally(*tally.chain)
    first.release()
    assert status == 2
    assert f"process {os.getpid()}" in err
    assert not Path("runs/x/config.yaml").exists()


def test_a_torn_last_row_is_cut(tally, uninterrupted):
    assert tally(*tally.chain, "stages.tally_2.stops_at=2")[0] == 3
    tally.take_back(("stages.tally_2.stops_at=2",))
    with Path("runs/x/metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"stage": "tally_2", "st')
    assert tally(*tally.chain, "checkpoint.resume_from=latest")[0] == 0
    assert (tally.rows(), tally.samples()) == uninterrupted


def test_a_resume_hashes_each_file_of_its_checkpoint_once(tally, opened):
    assert tally(*tally.chain, "stages.tally_2.stops_at=2")[0] == 3
    tally.take_back(("stages.tally_2.stops_at=2",))
    counts = opened(Path("runs/x/stages/2-tally_2/checkpoints/step_2").absolute())
    assert tally(*tally.chain, "checkpoint.resume_from=latest")[0] == 0
    # Each once to be hashed, and once more what is then read.
    assert counts == {"manifest.json": 1, "state.json": 2, "walk/params/arrays.msgpack": 2}


def test_twin_a_restored_state_that_is_lost_shows(tally, uninterrupted, monkeypatch):
    import burnish_tally

    assert tally(*tally.chain, "stages.tally.stops_at=2")[0] == 3
    tally.take_back(("stages.tally.stops_at=2",))
    monkeypatch.setattr(burnish_tally.Walk, "load_state", lambda *_: None)
    assert tally(*tally.chain, "checkpoint.resume_from=latest")[0] == 0
    assert (tally.rows(), tally.samples()) != uninterrupted


def test_a_step_that_is_not_committed_is_a_bug_of_the_loop(tally, monkeypatch):
    from burnish.platform.runs.stage_run import StageRun

    monkeypatch.setattr(StageRun, "commit", lambda *_: None)
    with pytest.raises(AssertionError, match="step 0 of 'tally' was not committed"):
        tally(*tally.chain)

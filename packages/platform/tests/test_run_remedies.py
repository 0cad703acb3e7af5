"""What a run that cannot begin or go on is told to do, done: it is read out of the line, and it works."""

import json
import re
from pathlib import Path

import pytest

from burnish.platform.runs.lock import RunLock
from burnish.platform.testing import named

RUN = Path("runs/x")
LATEST = "checkpoint.resume_from=latest"
STEPS = RUN / "stages/2-tally_2/checkpoints"


@pytest.fixture
def stopped(tally):
    """The command, with a run that a limit has stopped at step 2 of its second stage."""
    assert tally(*tally.chain, "stages.tally_2.stops_at=2")[0] == 3
    tally.take_back(("stages.tally_2.stops_at=2",))
    return tally


@pytest.fixture
def complete(tally):
    """The command, with a run that is complete."""
    assert tally(*tally.chain)[0] == 0
    return tally


def refusal(tally, *words):
    """The line that a command says that is refused."""
    status, out, err = tally(*tally.chain, *words)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    return err.strip()


def follow(tally, *words, without=()):
    """Run the chain with some words, and without those that begin like others."""
    kept = [word for word in tally.chain if not word.startswith(tuple(without))]
    status, _, err = tally(*kept, *words)
    assert status == 0, err


@pytest.mark.parametrize("choice", [r"go on with it by (\S+),", r"or set another (run\.name)$"])
def test_a_name_that_is_taken(stopped, choice):
    word = named(refusal(stopped), choice)
    follow(stopped, *([word] if "=" in word else [f"{word}=y"]), without=[] if "=" in word else [f"{word}="])


@pytest.mark.parametrize("choice", [r"(take these back), or", r"or set another (run\.name)$"])
def test_another_config(stopped, choice):
    line = refusal(stopped, "run.seed=3", "stages.tally.steps=5", LATEST)
    differences = re.findall(r"[:;] ([\w.]+): (\S+) -> (\S+)(?=;)", line)
    assert differences == [("run.seed", "0", "3"), ("stages.tally.steps", "4", "5")]
    if named(line, choice) == "run.name":
        follow(stopped, "run.seed=3", "stages.tally.steps=5", "run.name=y", LATEST, without=["run.name="])
    else:
        follow(stopped, *(f"{key}={before}" for key, before, _ in differences), LATEST)


def test_a_checkpoint_of_which_nobody_says_the_run(stopped):
    words = [word for word in stopped.chain if not word.startswith("run.name=")]
    status, _, err = stopped(*words, LATEST)
    assert status == 2
    follow(stopped, LATEST, f"{named(err, r'set (run.name=)<its name>')}x", without=["run.name="])


def test_a_run_that_is_not_there(tally):
    assert named(refusal(tally, "checkpoint.resume_from=best"), r"(leave it out)$")
    follow(tally)


@pytest.mark.parametrize("choice", ["latest", "a path"])
def test_the_best_of_no_metric(stopped, choice):
    line = refusal(stopped, "checkpoint.resume_from=best")
    assert choice in named(line, r"use (latest or a path)$")
    follow(stopped, LATEST if choice == "latest" else f"checkpoint.resume_from={STEPS / 'step_2'}")


@pytest.mark.parametrize("choice", ["latest", "best", "a path that"])
def test_a_path_that_is_no_checkpoint(tally, choice):
    assert tally(*tally.chain, "checkpoint.keep_best=walk/value")[0] == 0
    line = refusal(tally, "checkpoint.resume_from=absent")
    form = named(line, r"use latest, best, or a path that ends in (\S+)$")
    path = str(next(STEPS.iterdir()))
    assert choice in line
    assert re.search(re.sub(r"<\w+>", r"\\w+", form), path)
    wanted = path if choice == "a path that" else choice
    follow(tally, f"checkpoint.resume_from={wanted}", "checkpoint.keep_best=walk/value")


def test_a_checkpoint_of_another_run(stopped):
    words = [word for word in stopped.chain if not word.startswith("run.name=")]
    wanted = f"checkpoint.resume_from={STEPS / 'step_2'}"
    status, _, err = stopped(*words, "run.name=y", wanted)
    assert status == 2
    follow(stopped, wanted, without=[f"{named(err, r'leave (run.name) out')}="])


@pytest.mark.parametrize("choice", ["wait for it", "another run.name"])
def test_a_run_that_another_process_writes(stopped, choice):
    lock = RunLock(RUN)
    lock.acquire()
    try:
        assert choice in named(
            refusal(stopped, LATEST), r"; (wait for it, stop it, or set another run\.name)$"
        )
        if choice == "another run.name":
            follow(stopped, "run.name=y", without=["run.name="])
    finally:
        lock.release()
    follow(stopped, LATEST)


@pytest.mark.parametrize("choice", [r"(raise it), or", r"name an earlier checkpoint by (\S+)$"])
def test_fewer_steps_than_there_are(stopped, choice):
    fewer = "stages.tally_2.steps=1"
    status, _, err = stopped(*stopped.chain, fewer, LATEST)
    assert (status, "stages.tally_2.steps=1 is below step 2" in err) == (2, True)
    option = named(err.partition("; saved")[0], choice)
    if option == "raise it":
        follow(stopped, "stages.tally_2.steps=3", LATEST)
    else:
        follow(stopped, fewer, f"{option}={RUN}/stages/1-tally/checkpoints/step_4")


@pytest.mark.parametrize("choice", ["put it back", "another run.name"])
def test_a_config_that_is_damaged(stopped, choice):
    record = RUN / "config.yaml"
    content = record.read_bytes()
    record.write_bytes(content[: len(content) // 2] + b"\xff")
    assert choice in named(
        refusal(stopped, LATEST), r"; (put it back from a copy, or set another run\.name): "
    )
    if choice == "put it back":
        record.write_bytes(content)
        follow(stopped, LATEST)
    else:
        follow(stopped, "run.name=y", without=["run.name="])


def test_a_line_of_rows_that_is_none(stopped):
    rows = RUN / "metrics.jsonl"
    lines = rows.read_bytes().splitlines(keepends=True)
    rows.write_bytes(b"".join([*lines[:2], b"{oops\n", *lines[2:]]))
    line = refusal(stopped, LATEST)
    number = int(named(line, r"metrics\.jsonl:(\d+) is no row .*: delete the line$"))
    broken = rows.read_bytes().splitlines(keepends=True)
    rows.write_bytes(b"".join(broken[: number - 1] + broken[number:]))
    follow(stopped, LATEST)


@pytest.mark.parametrize("choice", [r"; (put the file back), or", r"by naming a checkpoint: (\S+=)<path>$"])
def test_rows_that_are_lost(stopped, choice):
    rows = RUN / "metrics.jsonl"
    content = rows.read_bytes()
    rows.write_bytes(b"")
    word = named(refusal(stopped, LATEST), choice)
    if word == "put the file back":
        rows.write_bytes(content)
        follow(stopped, LATEST)
    else:
        follow(stopped, f"{word}{STEPS / 'step_2'}")


def test_a_run_without_an_intact_checkpoint(stopped):
    for step in STEPS.iterdir():
        (step / "manifest.json").unlink()
    assert named(refusal(stopped, LATEST), r"start again under another (run\.name)$")
    follow(stopped, "run.name=y", without=["run.name="])


@pytest.mark.parametrize("stage", ["1-tally", "2-tally_2"])
def test_a_damaged_mark_of_a_complete_run(complete, stage):
    mark, before = RUN / "stages" / stage / "done.json", complete.rows()
    mark.write_bytes(b"{")
    assert named(refusal(complete, LATEST), rf"{stage}/done\.json' is damaged: .*; (delete it): ")
    mark.unlink()
    follow(complete, LATEST)
    assert complete.rows() == before
    assert complete.status()["phase"] == "complete"


def test_an_output_directory_that_cannot_be_written(tally):
    Path("file").write_text("kept", encoding="utf-8")
    line = refusal(tally, "run.output_dir=file/below")
    follow(tally, f"{named(line, r'set (run.output_dir) to a directory you can write to$')}=elsewhere")


def test_a_run_that_a_signal_stopped_names_its_last_word(tally):
    status, _, err = tally(*tally.chain, "stages.tally.is_terminated_at=3")
    assert status == 143
    assert json.loads((RUN / "status.json").read_text(encoding="utf-8"))["phase"] == "interrupted"
    tally.take_back(("stages.tally.is_terminated_at=3",))
    follow(tally, named(err, r"go on with: .* (checkpoint\.resume_from=\S+)$"))

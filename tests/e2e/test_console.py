"""What a run says while it goes on: what it is about to do, no long silence, and where everything is."""

import itertools
import json
import os
import pty
import re
import subprocess
import time

import pytest

from tests.e2e.conftest import environment

SLEEPY = """
import time

def sleepy(samples):
    time.sleep(25.0)
    return [0.0] * len(samples)
"""

EVAL = ["stage=eval", "evaluation.num_problems=8", "data.num_problems=100", "evaluation.max_new_tokens=4"]


def test_a_run_says_what_it_is_about_to_do_and_at_the_end_where_all_is(train, short):
    finished = train("stage=sft+rl", *short, "run.name=told")
    assert finished.returncode == 0, finished.stderr
    lines = finished.stdout.splitlines()
    run = train.output / "told"
    assert lines[:3] == [
        f"{run}: sft, then rl; 1 cpu device, float32, seed 0",
        "sft: tiny(seed=0), 115,520 parameters; 64 demonstrations",
        "sft: 12 steps of 8 rows of 24 tokens are 1.5 epochs; 16 problems to evaluate",
    ]
    assert f"rl: {run}/stages/1-sft/export, 115,520 parameters; 32 prompts" in lines
    end = lines.index(f"run directory: {run}")
    places = dict(line.split(maxsplit=1) for line in lines[end + 1 :])
    assert list(places) == ["model", "numbers", "rows", "samples"]
    for names in places.values():
        assert all((run / name).exists() for name in names.split(", "))
    resumed = train(
        "stage=sft+rl", *short, "run.name=told", "stages.rl.steps=7", "checkpoint.resume_from=latest"
    )
    assert resumed.returncode == 0, resumed.stderr
    assert f"{run}: sft, then rl; goes on with rl after step 6; 1 cpu device" in resumed.stdout


def _said_when(command, directory):
    """Return what a command prints, line by line, with the seconds since it began."""
    began = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=directory, env=environment()
    ) as process:
        assert process.stdout is not None
        said = [(time.monotonic() - began, line.rstrip()) for line in process.stdout]
    assert process.returncode == 0
    return said


@pytest.mark.parametrize(("sinks", "is_told"), [([], True), (["~sink@logging.sinks.console"], False)])
def test_no_silence_is_longer_than_ten_seconds(train, tmp_path, sinks, is_told):
    (tmp_path / "sleepy.py").write_text(SLEEPY)
    rewards = ["evaluation.rewards={sleepy: 'sleepy:sleepy'}", "evaluation.reward_timeout_seconds=60"]
    said = _said_when(train.command([*EVAL, *rewards, *sinks, "run.name=s"]), tmp_path)
    evaluating = [line for _, line in said if line.startswith("eval  evaluate, ")]
    begun = next((when for when, line in said if line.startswith("eval: ")), 0.0)
    times = [begun, *(when for when, _ in said if when >= begun)]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert (len(evaluating) >= 2) is is_told
    assert (max(gaps, default=99.0) < 12) is is_told, "ten, and what a busy machine adds"


def test_a_terminal_shows_a_bar_and_gets_its_cursor_back(train, tmp_path):
    main, terminal = pty.openpty()
    environ = {**environment(), "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        train.command([*EVAL, "run.name=t"]), stdout=terminal, stderr=terminal, cwd=tmp_path, env=environ
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            shown += os.read(main, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
    os.close(main)
    assert process.wait() == 0
    text = shown.decode()
    assert text.count("before training") == 0, "where nothing is trained, one row says it"
    assert "\x1b[?25l" in text, "a bar hides the cursor"
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    after = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text[text.rindex("\x1b[?25h") :])
    assert "━━" not in after.split("Held-out")[0]
    assert f"run directory: {train.output / 't'}" in after


def test_a_run_whose_reader_goes_away_goes_on_to_its_end(train, short):
    overrides = ["stage=sft", *(word for word in short if not word.startswith("stages.rl")), "run.name=p"]
    with subprocess.Popen(
        train.command(overrides),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(timeout=300) == 0, said
    assert said == "nobody reads standard output any more; what follows is not shown\n"
    assert len((train.output / "p/metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 13
    assert json.loads((train.output / "p/status.json").read_text(encoding="utf-8"))["phase"] == "complete"

"""Killed at any moment and started again, a run equals the one that nobody interrupted, bit for bit."""

import hashlib
import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from burnish.platform.checkpoint.manifest import write_manifest

TOTAL_ROWS = 13 + 7
"""Steps 0 to 12 of SFT and 0 to 6 of RL in the short recipe."""


def rows_of(run: Path) -> list[dict]:
    """The rows of a run without what depends on clock and machine."""
    scopes = ("time/", "perf/", "memory/", "compile/")
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [
        {key: value for key, value in json.loads(line).items() if not key.startswith(scopes)}
        for line in lines
    ]


def digests_of(run: Path) -> dict[str, str]:
    """Sha256 of everything else that a run leaves: weights, tokenizer, samples, summary."""
    files = [*run.glob("stages/*/export/*"), *run.glob("samples/*"), run / "summary.json"]
    return {str(file.relative_to(run)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def kill_after(process, run: Path, num_rows: int, delay_seconds: float) -> bool:
    """Kill the whole process group a moment after the run has `num_rows` rows; False when it ended before."""
    metrics = run / "metrics.jsonl"
    while process.poll() is None:
        if metrics.is_file() and metrics.read_bytes().count(b"\n") >= num_rows:
            time.sleep(delay_seconds)
            break
        time.sleep(0.002)
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


@pytest.fixture(scope="module", params=["msgpack", "orbax"])
def backend(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def uninterrupted(make_train, tmp_path_factory, short) -> Path:
    train = make_train(tmp_path_factory.mktemp("uninterrupted"))
    finished = train(*short, "run.name=x")
    assert finished.returncode == 0, finished.stderr
    return train.output / "x"


def kill_and_resume(train, short, backend: str, kills: int, seed: int) -> Path:
    """Kill `kills` times at random moments over the whole run, then let it finish; return its directory."""
    chance = random.Random(seed)
    overrides = [*short, "run.name=x", f"checkpoint.backend={backend}", "checkpoint.resume_from=latest"]
    run = train.output / "x"
    border = [13]  # the row after which SFT exports and RL begins is always among the targets
    targets = sorted([*border, *(chance.randrange(TOTAL_ROWS) for _ in range(kills - 1))])
    for target in targets:
        process = train.start(*overrides)
        killed = kill_after(process, run, target, chance.uniform(0.0, 0.2))
        assert killed, f"ended before row {target}: {train.printed()}"
    finished = train(*overrides)
    assert finished.returncode == 0, finished.stderr
    return run


def test_killed_four_times_equals_the_uninterrupted_run(
    train, short, backend, uninterrupted, record_property
):
    record_property("kills", 4)
    run = kill_and_resume(train, short, backend, kills=4, seed=0)
    assert rows_of(run) == rows_of(uninterrupted)
    assert digests_of(run) == digests_of(uninterrupted)


@pytest.mark.slow
def test_killed_twenty_times_equals_the_uninterrupted_run(
    train, short, backend, uninterrupted, record_property
):
    record_property("kills", 20)
    run = kill_and_resume(train, short, backend, kills=20, seed=1)
    assert rows_of(run) == rows_of(uninterrupted)
    assert digests_of(run) == digests_of(uninterrupted)


LOW_RANK = [
    "stages.sft.training=lora",
    "stages.rl.training=lora",
    "stages.rl.training.checkpoint=adapters",
    "stages.sft.training.ema_decay=0.8",
    "stages.rl.training.ema_decay=0.8",
]
"""Updates with their base in the checkpoints of SFT, and without it in those of RL; averages of both."""


@pytest.fixture(scope="module")
def uninterrupted_updates(make_train, tmp_path_factory, short) -> Path:
    train = make_train(tmp_path_factory.mktemp("updates"))
    finished = train(*short, *LOW_RANK, "run.name=x")
    assert finished.returncode == 0, finished.stderr
    return train.output / "x"


def test_low_rank_updates_killed_three_times_equal_the_uninterrupted_run(
    train, short, backend, uninterrupted, uninterrupted_updates, record_property
):
    record_property("kills", 3)
    run = kill_and_resume(train, [*short, *LOW_RANK], backend, kills=3, seed=2)
    assert rows_of(run) == rows_of(uninterrupted_updates)
    assert digests_of(run) == digests_of(uninterrupted_updates)
    assert rows_of(run) != rows_of(uninterrupted)
    steps = (run / "stages/2-rl/checkpoints").glob("step_*")
    assert {path.name for step in steps for path in step.iterdir() if path.is_dir()} >= {"adapters"}
    assert not list(run.glob("stages/2-rl/checkpoints/*/params"))


def test_twin_another_seed_differs(train, short, uninterrupted):
    finished = train(*short, "run.name=x", "run.seed=1")
    assert finished.returncode == 0, finished.stderr
    assert rows_of(train.output / "x") != rows_of(uninterrupted)
    assert digests_of(train.output / "x") != digests_of(uninterrupted)


def test_twin_a_restored_state_that_is_altered_differs(train, short, uninterrupted):
    """What resume restores matters: a run whose data position is moved by one ends elsewhere."""
    overrides = [*short, "run.name=x", "checkpoint.resume_from=latest"]
    process = train.start(*overrides)
    assert kill_after(process, train.output / "x", 6, 0.0)
    newest = max((train.output / "x").glob("stages/1-sft/checkpoints/step_*"), key=lambda p: int(p.name[5:]))
    state_file = newest / "state.json"
    state = json.loads(state_file.read_text())
    state["participants"]["data"]["json"]["position"] += 1
    state_file.write_text(json.dumps(state))
    write_manifest(newest, json.loads((newest / "manifest.json").read_text())["facts"])
    assert train(*overrides).returncode == 0
    assert rows_of(train.output / "x") != rows_of(uninterrupted)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_says_how_to_go_on_and_the_run_goes_on(train, short, uninterrupted, number, status):
    overrides = [*short, "run.name=x"]
    process = train.start(*overrides)
    run = train.output / "x"
    while not (run / "metrics.jsonl").is_file() or (run / "metrics.jsonl").read_bytes().count(b"\n") < 4:
        assert process.poll() is None, train.printed()
        time.sleep(0.002)
    process.send_signal(number)
    assert process.wait(timeout=120) == status, train.printed()
    output = train.printed()
    assert "run.name=x checkpoint.resume_from=latest" in output
    assert "Traceback" not in output
    assert json.loads((run / "status.json").read_text())["phase"] == "interrupted"
    finished = train(*overrides, "checkpoint.resume_from=latest")
    assert finished.returncode == 0, finished.stderr
    assert rows_of(run) == rows_of(uninterrupted)
    assert digests_of(run) == digests_of(uninterrupted)


def test_latest_on_a_finished_run_says_so_and_changes_nothing(train, short):
    overrides = [*short, "stage=sft", "run.name=x", "checkpoint.resume_from=latest"]
    overrides = [word for word in overrides if not word.startswith("stages.rl")]
    assert train(*overrides).returncode == 0
    before = {
        path: path.stat().st_mtime_ns for path in (train.output / "x").rglob("*") if path.name != "lock"
    }
    again = train(*overrides)
    assert again.returncode == 0
    assert "complete: nothing to resume" in again.stderr
    assert {
        path: path.stat().st_mtime_ns for path in (train.output / "x").rglob("*") if path.name != "lock"
    } == before

"""The curves of a run that is killed and goes on are those of an uninterrupted one: every point, once."""

import json
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from burnish.platform.statistics.summary import MACHINE_SCOPES
from burnish.platform.testing import shown_points

CHAIN = [
    "stage=sft+eval+sft",
    "run.name=x",
    "data.num_problems=2000",
    "data.num_demonstrations=64",
    "evaluation.num_problems=4",
    "engine.slots=4",
    "stages.sft.steps=8",
    "stages.sft.rows_per_step=4",
    "stages.sft_2.steps=8",
    "stages.sft_2.rows_per_step=4",
    "checkpoint.save_every_steps=3",
    "logging.print_every_seconds=0",
]
RESUMED = [*CHAIN, "checkpoint.resume_from=latest"]
TOTAL_ROWS = 9 + 1 + 9


def points_of(run: Path) -> list[tuple[str, int, float]]:
    """The points of a run without those that depend on clock and machine."""
    return [point for point in shown_points(run) if not point[0].startswith(MACHINE_SCOPES)]


def num_rows(run: Path) -> int:
    metrics = run / "metrics.jsonl"
    return metrics.read_bytes().count(b"\n") if metrics.is_file() else 0


def kill_and_resume(train, kills: int, seed: int) -> Path:
    """Kill the chain at random moments of the whole run, often early in a start; then let it finish."""
    chance, run = random.Random(seed), train.output / "x"
    for target in sorted(chance.randrange(TOTAL_ROWS - 2) for _ in range(kills)):
        process = train.start(*RESUMED)
        while process.poll() is None and num_rows(run) < target:
            time.sleep(0.001)
        time.sleep(chance.random() * chance.choice([0.03, 2.0]))
        assert process.poll() in (None, 0), train.printed()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finished = train(*RESUMED)
    assert finished.returncode == 0, finished.stderr
    return run


@pytest.fixture(scope="module")
def uninterrupted(make_train, tmp_path_factory) -> Path:
    train = make_train(tmp_path_factory.mktemp("uninterrupted"))
    finished = train(*CHAIN)
    assert finished.returncode == 0, finished.stderr
    return train.output / "x"


def assert_each_row_is_shown_once(run: Path) -> None:
    """The points are the numbers of `metrics.jsonl`, in its order, at steps that rise over the chain."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    numbers = [
        (name, at, pytest.approx(value, rel=1e-6))
        for at, row in enumerate(rows)
        for name, value in row.items()
        if name not in ("stage", "step") and value is not None
    ]
    assert [point for point in shown_points(run) if not isinstance(point[2], str)] == numbers


def test_a_chain_has_a_file_per_stage_with_every_point_of_its_rows(uninterrupted):
    files = sorted((uninterrupted / "tb").iterdir())
    assert [file.name.rpartition(".")[2] for file in files] == ["sft", "eval", "sft_2"]
    assert len(points_of(uninterrupted)) > TOTAL_ROWS
    assert_each_row_is_shown_once(uninterrupted)


def test_killed_four_times_shows_the_points_of_the_uninterrupted_run(train, uninterrupted, record_property):
    record_property("kills", 4)
    run = kill_and_resume(train, kills=4, seed=2)
    assert points_of(run) == points_of(uninterrupted)
    assert_each_row_is_shown_once(run)
    assert (run / "summary.json").read_bytes() == (uninterrupted / "summary.json").read_bytes()


@pytest.mark.slow
def test_killed_thirty_times_shows_the_points_of_the_uninterrupted_run(train, uninterrupted, record_property):
    record_property("kills", 30)
    run = kill_and_resume(train, kills=30, seed=3)
    assert points_of(run) == points_of(uninterrupted)
    assert_each_row_is_shown_once(run)


def test_a_rewind_to_a_named_checkpoint_shows_nothing_stale(train, uninterrupted):
    assert train(*CHAIN, "checkpoint.save_total_limit=null").returncode == 0
    run = train.output / "x"
    named = run / "stages/1-sft/checkpoints/step_3"
    words = [word for word in CHAIN if not word.startswith("run.name")]
    finished = train(*words, "checkpoint.save_total_limit=null", f"checkpoint.resume_from={named}")
    assert finished.returncode == 0, finished.stderr
    assert points_of(run) == points_of(uninterrupted)
    assert_each_row_is_shown_once(run)
    written = [file for file in sorted((run / "tb").iterdir()) if file.stat().st_size > 0]
    assert [file.name.rpartition(".")[2] for file in written] == ["sft", "sft", "eval", "sft_2"]


def test_twin_a_record_that_is_dropped_is_missed(train, uninterrupted):
    assert train(*CHAIN).returncode == 0
    run = train.output / "x"
    first = min((run / "tb").iterdir())
    content = first.read_bytes()
    at, sizes = 0, []
    while at < len(content):
        sizes.append(16 + int.from_bytes(content[at : at + 8], "little"))
        at += sizes[-1]
    first.write_bytes(content[: -sizes[-1]])
    assert points_of(run) != points_of(uninterrupted)
    first.write_bytes(content + content[-sizes[-1] :])
    assert points_of(run) != points_of(uninterrupted), "a doubled one is seen, too"
    first.write_bytes(content)
    assert points_of(run) == points_of(uninterrupted)

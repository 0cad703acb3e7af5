"""The default run of one seed beside its control: what the README's table promises."""

import json
from pathlib import Path

import pytest

from burnish.rl.mismatch_limit import FLOAT32_LIMIT
from burnish.rl.objectives.mismatch import ABSOLUTE


@pytest.fixture(scope="module")
def default_run(make_train, tmp_path_factory) -> Path:
    train = make_train(tmp_path_factory.mktemp("default"))
    finished = train("run.name=default")
    assert finished.returncode == 0, finished.stderr
    assert "after rl" in finished.stdout
    return train.output / "default"


@pytest.fixture(scope="module")
def control(make_train, tmp_path_factory) -> Path:
    train = make_train(tmp_path_factory.mktemp("control"))
    finished = train("+experiment=control", "run.name=control")
    assert finished.returncode == 0, finished.stderr
    return train.output / "control"


def accuracy(run: Path, stage: str) -> float:
    return json.loads((run / "summary.json").read_text())[stage]["eval/accuracy"]


def rows(run: Path, stage: str) -> list[dict]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["stage"] == stage]


def test_rl_ends_forty_points_above_sft(default_run):
    assert accuracy(default_run, "rl") >= accuracy(default_run, "sft") + 0.40


def test_rl_ends_thirty_points_above_as_much_time_of_sft(default_run, control):
    assert accuracy(default_run, "rl") >= accuracy(control, "sft_2") + 0.30
    seconds = [
        sum(row["time/step_seconds"] for row in rows(*of)) for of in [(default_run, "rl"), (control, "sft_2")]
    ]
    print(f"seconds of RL and of its control: {seconds}")


def test_sft_is_the_same_in_both(default_run, control):
    assert accuracy(default_run, "initial") == accuracy(control, "initial")
    assert accuracy(default_run, "sft") == accuracy(control, "sft")


def test_rl_starts_where_sft_ended_problem_by_problem(default_run):
    samples = [json.loads(line) for line in (default_run / "samples/eval.jsonl").read_text().splitlines()]
    last = {s["problem"]: s["completion"] for s in samples if s["stage"] == "sft" and s["step"] == 700}
    first = {s["problem"]: s["completion"] for s in samples if s["stage"] == "rl" and s["step"] == 0}
    assert len(last) == 512
    assert last == first


def test_reward_and_length_rise_together(default_run):
    rl = rows(default_run, "rl")
    assert rl[-1]["reward/mean"] > rl[1]["reward/mean"] + 0.2
    assert rl[-1]["rollout/completion_tokens"] > rl[1]["rollout/completion_tokens"] + 3


def test_the_mismatch_stays_below_a_tenth_of_its_limit(default_run):
    assert max(row[ABSOLUTE] for row in rows(default_run, "rl")[1:]) < FLOAT32_LIMIT / 10


@pytest.mark.parametrize("stage", ["sft", "rl"])
def test_nothing_compiles_from_the_third_step_on(default_run, stage):
    assert [row["step"] for row in rows(default_run, stage)[3:] if row["compile/count"]] == []


def test_every_completion_is_accounted_for(default_run):
    for row in rows(default_run, "rl")[1:]:
        parts = ("trained", "filtered", "stale", "failed", "in_flight")
        assert row["accounting/submitted"] == sum(row[f"accounting/{part}"] for part in parts) == 256

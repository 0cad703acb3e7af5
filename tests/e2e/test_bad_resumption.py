"""Resumptions that cannot be: taken names, other configs, second writers, damaged checkpoints."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from burnish.platform.runs.run_directory import RunDirectory
from burnish.platform.testing import named


@pytest.fixture(scope="module")
def stopped(make_train, tmp_path_factory, one_stage) -> Path:
    """A run that a signal stopped after some checkpoints; copied by each test that damages it."""
    train = make_train(tmp_path_factory.mktemp("stopped"))
    process = train.start(*one_stage)
    metrics = train.output / "x/metrics.jsonl"
    while not metrics.is_file() or metrics.read_bytes().count(b"\n") < 7:
        assert process.poll() is None, train.printed()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=300) == 143, train.printed()
    return train.output / "x"


@pytest.fixture
def run(stopped, tmp_path) -> Path:
    return shutil.copytree(stopped, tmp_path / "runs/x")


def steps_of(run: Path) -> list[Path]:
    """The checkpoints of the run's first stage, the oldest first."""
    return sorted((run / "stages/1-sft/checkpoints").glob("step_*"), key=lambda path: int(path.name[5:]))


@pytest.mark.usefixtures("run")
def test_a_run_name_that_is_taken_is_refused(refused, one_stage):
    line = refused(*one_stage)
    assert "run.name='x' exists" in line
    assert "checkpoint.resume_from=latest" in line
    assert "set another run.name" in line


@pytest.mark.usefixtures("run")
def test_another_config_is_refused_with_every_difference(refused, one_stage):
    changed = ["stages.sft.rows_per_step=8", "stages.sft.optimizer.b1=0.5", "run.seed=3", "data.num_digits=4"]
    line = refused(*one_stage, *changed, "checkpoint.resume_from=latest")
    assert "run.name='x' began with another config" in line
    for difference in (
        "stages.sft.rows_per_step: 4 -> 8",
        "stages.sft.optimizer.b1: 0.9 -> 0.5",
        "run.seed: 0 -> 3",
        "data.num_digits: 5 -> 4",
    ):
        assert difference in line
    assert "take these back, or set another run.name" in line


@pytest.mark.usefixtures("run")
def test_best_without_a_metric_is_refused(refused, one_stage):
    line = refused(*one_stage, "checkpoint.resume_from=best")
    assert "checkpoint.resume_from=best" in line
    assert "checkpoint.keep_best" in line
    assert "latest" in line


def test_a_checkpoint_of_another_run_is_refused(refused, run, one_stage):
    source = steps_of(run)[-1]
    words = [word for word in one_stage if word != "run.name=x"]
    line = refused(*words, "run.name=y", f"checkpoint.resume_from={source}")
    assert f"'{source}' belongs to another run than run.name='y'" in line
    assert "model=pretrained model.name_or_path=" in line


def test_the_weights_of_another_run_are_taken_as_it_is_said(command, refused, run, one_stage):
    wanted = f"checkpoint.resume_from={steps_of(run)[-1]}"
    words = [word for word in one_stage if word != "run.name=x"]
    line = refused(*words, "run.name=y", wanted)
    remedy = named(line, r"from its weights with (model=\S+ model\.name_or_path=\S+)$").split(" ")
    status, _, err = command(*words, "run.name=y", *remedy, "--dry-run")
    assert status == 0, err


def test_a_checkpoint_without_a_config_is_no_model_and_an_earlier_step_is(command, refused, run, one_stage):
    before, latest = steps_of(run)[-2:]
    (latest / "config.json").unlink()
    words = [word for word in one_stage if word != "run.name=x"] + ["model=pretrained", "--dry-run"]
    line = refused(*words, f"model.name_or_path={latest}")
    assert named(line, r"without config\.json: (take an earlier step of the run)$")
    status, _, err = command(*words, f"model.name_or_path={before}")
    assert status == 0, err


def test_a_second_writer_is_refused_and_told_of_the_first(train, run, one_stage, tree_of, only_line):
    first = RunDirectory(run)
    first.acquire()
    try:
        before = tree_of(run)
        ended = train(*one_stage, "checkpoint.resume_from=latest")
    finally:
        first.release()
    line = only_line(ended.returncode, ended.stdout, ended.stderr)
    assert f"process {os.getpid()}" in line
    assert "run.name" in line
    assert tree_of(run) == before


def flip_a_byte(step: Path) -> str:
    file = max(
        (path for path in (step / "params").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
    )
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return "is altered: its sha256 differs"


def truncate_a_file(step: Path) -> str:
    content = (step / "state.json").read_bytes()
    (step / "state.json").write_bytes(content[:-7])
    return f"the file 'state.json' is truncated: {len(content) - 7} bytes, recorded {len(content)}"


def tear_the_directory(step: Path) -> str:
    (step / "manifest.json").unlink()
    shutil.rmtree(step / "optimizer")
    return "is torn: it has no manifest.json"


@pytest.mark.parametrize("damage", [flip_a_byte, truncate_a_file, tear_the_directory])
def test_a_damaged_checkpoint_is_named_and_the_one_before_offered_and_taken(
    command, refused, run, damage, one_stage
):
    before, latest = steps_of(run)[-2:]
    said = damage(latest)
    line = refused(*one_stage, "checkpoint.resume_from=latest")
    assert f"checkpoint of step {latest.name[5:]}: '{latest}" in line
    assert said in line
    offer = re.search(r"checkpoint\.resume_from=\S+", line)
    assert offer is not None
    assert offer[0].endswith(before.name)
    last = int(latest.name[5:]) + 1
    status, _, err = command(*one_stage, f"stages.sft.steps={last}", offer[0])
    assert status == 0, err
    rows = [json.loads(each)["step"] for each in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows == list(range(last + 1))


def test_twin_an_undamaged_checkpoint_is_taken(command, run, one_stage):
    last = int(steps_of(run)[-1].name[5:]) + 1
    status, _, err = command(*one_stage, f"stages.sft.steps={last}", "checkpoint.resume_from=latest")
    assert status == 0, err

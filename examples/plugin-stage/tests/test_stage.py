import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from burnish.platform import DataContext, resolve
from burnish.platform.testing import left_by

PAIRS = "data@stages.dpo.pairs=jsonl"


def rows(stage: str, run: Path = Path("runs/trial")) -> list[dict]:
    every = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [row for row in every if row["stage"] == stage]


def test_first_update_begins_at_the_reference_and_the_model_is_handed_on(train, short):
    faster = ("stages.dpo.steps=20", "stages.dpo.optimizer.learning_rate=3e-3")
    status, printed, said = train("stage=dpo+eval", *short, *faster)

    assert status == 0, said
    before, first, *_, last = rows("dpo")
    assert first["train/loss"] == pytest.approx(0.693147, abs=1e-5)
    assert first["dpo/margin"] == pytest.approx(0, abs=1e-4)
    assert last["dpo/margin"] > 1
    assert "eval/accuracy" in before
    [evaluated] = rows("eval")
    assert evaluated["eval/accuracy"] == last["eval/accuracy"]
    assert "preferred" in printed


def test_pairs_are_not_torn_by_micro_batches(train, short):
    """A row holds a pair, so one row at a time gives the losses of all at once."""
    train("stage=dpo", *short)
    train("stage=dpo", *short, "run.name=cut", "stages.dpo.training.micro_batch_rows=1")

    whole, cut = rows("dpo"), rows("dpo", Path("runs/cut"))
    assert len(whole) == 9
    for name in ("train/loss", "train/grad_norm", "dpo/margin"):
        assert [row[name] for row in cut[1:]] == pytest.approx(
            [row[name] for row in whole[1:]], rel=1e-4, abs=1e-5
        )


def test_pairs_of_a_file_are_trained_on(train, short, tmp_path):
    file = tmp_path / "pairs.jsonl"
    pairs = resolve("data", "arithmetic_pairs")().build(DataContext(split="prompts"))
    file.write_text("".join(json.dumps(pairs[index]) + "\n" for index in range(16)), encoding="utf-8")
    options = [word for word in short if ".pairs." not in word]
    status, _, said = train("stage=dpo", PAIRS, f"stages.dpo.pairs.path={file}", *options)

    assert status == 0, said
    assert rows("dpo")[1]["train/loss"] == pytest.approx(0.693147, abs=1e-5)


def test_dry_run_says_what_a_run_would_do(train, short):
    status, printed, said = train("stage=dpo", *short, "--dry-run")

    assert status == 0, said
    assert "│ pairs │ 64 │" in " ".join(printed.split())
    assert not Path("runs").exists()


def test_pairs_and_batches_that_cannot_be_trained_are_refused_before_anything_is_written(train, short):
    options = [word for word in short if ".pairs." not in word]
    for word, said in (("pairs.path=absent.jsonl", "absent.jsonl"), ("training.micro_batch_rows=3", "3")):
        pairs = [PAIRS] if "path" in word else []
        status, _, error = train("stage=dpo", *pairs, f"stages.dpo.{word}", *options)
        assert status == 2
        assert said in error
        assert error.count("\n") == 1
    assert not Path("runs").exists()


@pytest.mark.parametrize("kills", [(1, 5)])
def test_killed_and_resumed_equals_the_uninterrupted_run(train, short, kills):
    """The reference is not saved: a run that goes on computes it anew, from the weights that arrived."""
    words = ["stage=sft+dpo", *short, "stages.sft.steps=4", "stages.sft.rows_per_step=4"]
    assert train(*words, "run.output_dir=whole")[0] == 0
    for kill in kills:
        assert killed_at(kill, [*words, "run.output_dir=cut", "checkpoint.resume_from=latest"])
    assert train(*words, "run.output_dir=cut", "checkpoint.resume_from=latest")[0] == 0

    assert left_by(Path("cut/trial")) == left_by(Path("whole/trial"))
    assert train(*words, "run.output_dir=twin", "stages.dpo.beta=0.2")[0] == 0
    assert left_by(Path("twin/trial")) != left_by(Path("whole/trial"))


def killed_at(step: int, words: list[str]) -> bool:
    """Kill the command when it has written the row of a step of `dpo`; False where it ended before."""
    metrics = Path("cut/trial/metrics.jsonl")
    command = [str(Path(sys.executable).parent / "train"), *words]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        if metrics.is_file() and f'"dpo", "step": {step},' in metrics.read_text(encoding="utf-8"):
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait() == -signal.SIGKILL
        time.sleep(0.002)
    return False

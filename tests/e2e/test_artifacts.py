"""A stage of another package makes the data that `sft` learns from."""

import json
from pathlib import Path

import pytest

MAKER = """
import json
from dataclasses import dataclass
from typing import Any, ClassVar

from burnish.platform.configuration.slot_fields import slot
from burnish.platform.data.config import Jsonl
from burnish.platform.data.source import DataContext
from burnish.platform.statistics.tracker import StatsTracker


@dataclass(frozen=True, kw_only=True)
class Make:
    provides: ClassVar[frozenset[str]] = frozenset({"demonstrations"})

    source: Any = slot("data", "arithmetic")
    num_kept: int = 24

    def build(self, run):
        return MakeStage(self, run)


class MakeStage:
    def __init__(self, config, run):
        self.config, self.run_ = config, run

    def run(self, artifacts):
        source = self.config.source.build(DataContext(split="demonstrations", artifacts=artifacts))
        directory = self.run_.stage_directory / "export"
        directory.mkdir(parents=True, exist_ok=True)
        rows = [json.dumps(source[index]) + chr(10) for index in range(self.config.num_kept)]
        (directory / "kept.jsonl").write_text("".join(rows), encoding="utf-8")
        for step in self.run_.steps(0):
            self.run_.commit(step, StatsTracker())
        return artifacts.including("demonstrations", directory)


@dataclass(frozen=True, kw_only=True)
class Kept:
    needs: ClassVar[frozenset[str]] = frozenset({"demonstrations"})

    def splits(self):
        return ("demonstrations", "test")

    def build(self, context):
        path = str(context.artifacts["demonstrations"] / "kept.jsonl")
        return Jsonl(path=path, test_path=path).build(context)
"""

SMALL = (
    "stages.sft.steps=2",
    "stages.sft.rows_per_step=4",
    "evaluation.num_problems=4",
    "engine.slots=4",
    "~sink@logging.sinks.tensorboard",
    "run.name=x",
)


@pytest.fixture(autouse=True)
def maker(distribution):
    """Install a stage that keeps some demonstrations, and the data component that reads them."""
    distribution(
        "burnish-maker",
        {"stage": {"make": "burnish_maker:Make"}, "data": {"kept": "burnish_maker:Kept"}},
        {"burnish_maker.py": MAKER},
    )


def rows_of(run: Path, stage: str) -> list[dict]:
    rows = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [row for row in rows if row["stage"] == stage]


def test_sft_learns_from_and_is_evaluated_on_what_a_stage_has_made(command, tmp_path):
    status, _, err = command("stage=make+sft", "data=kept", *SMALL)
    assert status == 0, err
    run = tmp_path / "runs" / "x"
    learned = rows_of(run, "sft")
    assert [row["step"] for row in learned] == [0, 1, 2]
    assert learned[2]["train/loss"] > 0
    assert "eval/accuracy" in learned[2]
    made = run / "stages/1-make/export/kept.jsonl"
    answers = [json.loads(line)["prompt"] for line in made.read_text(encoding="utf-8").splitlines()]
    samples = [json.loads(line) for line in (run / "samples/eval.jsonl").read_text("utf-8").splitlines()]
    assert [sample["prompt"] for sample in samples[:4]] == answers[:4]


def test_twin_without_the_stage_nothing_begins_and_who_could_is_named(refused):
    line = refused("stage=sft", "data=kept", *SMALL)
    assert "data: the data 'kept' needs the artifact 'demonstrations'" in line
    assert "make (burnish-maker 1.0); put it in front, as in stage=make+sft" in line


def test_twin_a_stage_before_that_provides_a_model_alone_does_not_do(refused):
    assert "as in stage=sft+make+rl" in refused("stage=sft+rl", "+data@stages.rl.data=kept", *SMALL)

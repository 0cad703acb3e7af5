"""The `eval` stage as a run of its own, through the command's own entry."""

import json
import re
from dataclasses import dataclass

import pytest

from burnish.platform import run
from burnish.platform.errors import ConfigError
from burnish.platform.testing import named

pytestmark = pytest.mark.fast

SMALL = [
    "data.num_problems=2000",
    "model.hidden_size=32",
    "evaluation.num_problems=6",
    "engine.slots=4",
    "engine.prefill_rows=4",
]


@pytest.fixture
def run_eval(tmp_path):
    """Return a function that runs a chain of `eval` stages and returns its result and the rows it wrote."""

    def evaluate(*overrides):
        result = run([*overrides, *SMALL, f"run.output_dir={tmp_path}", "run.name=one"])
        lines = (result.directory / "samples" / "eval.jsonl").read_text(encoding="utf-8").splitlines()
        metrics = (result.directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return result, [json.loads(line) for line in lines], [json.loads(line) for line in metrics]

    return evaluate


def test_eval_twice_writes_equal_rows_and_hands_over_nothing_new(run_eval):
    result, samples, metrics = run_eval("stage=eval+eval")
    assert [row["stage"] for row in metrics] == ["eval", "eval_2"]
    assert metrics[0]["eval/accuracy"] == metrics[1]["eval/accuracy"]
    assert metrics[1]["compile/count"] == 0
    assert len(samples) == 12
    first, second = ([{**row, "stage": ""} for row in samples[start : start + 6]] for start in (0, 6))
    assert first == second
    assert result.artifacts.directories == {}


def test_eval_plan_counts_problems_without_writing(tmp_path):
    assert run(["stage=eval", *SMALL, f"run.output_dir={tmp_path}"], dry_run=True) is None
    assert list(tmp_path.iterdir()) == []


def test_eval_of_problems_that_lack_a_rewards_column_is_refused_before_it_begins(tmp_path):
    words = ["stage=eval", *SMALL, f"run.output_dir={tmp_path}"]
    wrong = "evaluation.rewards.exact_match.answer_key=solution"
    for is_dry_run in (True, False):
        with pytest.raises(ConfigError) as caught:
            run([*words, wrong], dry_run=is_dry_run)
        assert str(caught.value).startswith(
            "evaluation.rewards.exact_match reads the column 'solution', which no record has; there are "
        )
    assert list(tmp_path.iterdir()) == []
    option = named(str(caught.value), r"name the right one by (\S+=)COLUMN,")
    another = named(str(caught.value), r"or choose another reward: (\S+)$")
    for remedy in (f"{option}answer", another):
        run([*words, remedy])


@dataclass(frozen=True)
class Raising:
    """A reward that can score nothing until it is mended."""

    column: str = "nope"

    def build(self, _):
        return lambda samples: [float(sample.record[self.column]) for sample in samples]


def mine(column: str) -> str:
    return f"evaluation.rewards={{mine: {{use: '{__name__}:Raising', column: {column}}}}}"


def test_eval_of_problems_that_no_reward_can_score_is_refused_with_the_reason(tmp_path):
    words = ["stage=eval", *SMALL, f"run.output_dir={tmp_path}"]
    with pytest.raises(ConfigError, match=r"none of 6 problems has a score: ") as caught:
        run([*words, mine("nope")])
    assert re.search(r" failed on 6 of 6 completions: KeyError: 'nope' \(.*; mend the ", str(caught.value))
    assert str(caught.value).endswith(", choose rewards that read what the data has, or name its columns")
    for remedy in (mine("answer"), "evaluation.rewards={exact_match: format}"):
        run([*words, remedy])


def test_eval_of_a_split_that_is_none_is_refused_before_anything_is_written(tmp_path):
    for is_dry_run in (True, False):
        with pytest.raises(ConfigError, match=r"^evaluation\.split=nope: nothing to evaluate: data"):
            run(
                ["stage=eval", *SMALL, "evaluation.split=nope", f"run.output_dir={tmp_path}"],
                dry_run=is_dry_run,
            )
    assert list(tmp_path.iterdir()) == []

"""The value that `run.sweep_metric` names."""

import pytest

from burnish.platform.errors import ConfigError
from burnish.platform.statistics.summary import value_of

SUMMARY = {
    "initial": {"eval/accuracy": 0.1},
    "sft": {"eval/accuracy": 0.2, "train/loss": 3, "ended_early": "soon"},
    "eval": {"eval/accuracy": 0.3, "eval/format": 0.5},
}


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("eval/accuracy", 0.3),
        ("sft/eval/accuracy", 0.2),
        ("initial/eval/accuracy", 0.1),
        ("eval/eval/accuracy", 0.3),
        ("train/loss", 3.0),
    ],
)
def test_value_of_when_a_stage_is_named_or_not_then_it_is_that_stage_or_the_last_one(metric, value):
    assert value_of(SUMMARY, metric) == value


def test_value_of_when_another_metric_was_not_finite_then_it_is_found_and_that_one_is_not():
    summary = {"sft": {"train/loss": None, "train/tokens": 8.0}}
    assert value_of(summary, "train/tokens") == 8.0
    with pytest.raises(ConfigError, match="no stage has recorded it"):
        value_of(summary, "train/loss")


@pytest.mark.parametrize(
    ("metric", "near"),
    [("eval/acc", "eval/accuracy"), ("rl/eval/format", "eval/format"), ("ended_early", None)],
)
def test_value_of_when_no_stage_has_it_then_one_line_with_what_there_is(metric, near):
    with pytest.raises(ConfigError) as caught:
        value_of(SUMMARY, metric)
    said = str(caught.value)
    assert said.startswith(f"run.sweep_metric={metric}: no stage has recorded it")
    assert said.endswith("; there are eval/accuracy, eval/format, train/loss")
    assert near is None or f"did you mean '{near}'" in said

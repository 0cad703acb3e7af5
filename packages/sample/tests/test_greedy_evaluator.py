"""Greedy evaluation over an engine: the numbers, the rows, and when it is due."""

from dataclasses import dataclass

import numpy as np
import pytest

from burnish.llm.byte_tokenizer import ByteTokenizer
from burnish.platform.errors import ConfigError, DataError
from burnish.platform.statistics.tracker import StatsTracker
from burnish.platform.testing import named
from burnish.sample.config.evaluation import GreedyEvaluation
from burnish.sample.config.reward import ExactMatch, Format
from burnish.sample.evaluation import EvaluationContext
from burnish.sample.request import Completion

pytestmark = pytest.mark.fast


class Records(list):
    fingerprint = "records"


class ListData:
    """Three problems, whose answers are their prompts."""

    def splits(self):
        return ("test", "empty")

    def build(self, context):
        count = 0 if context.split == "empty" else 3
        return Records({"prompt": f"{n}=", "answer": str(n)} for n in range(count))


class Overlong(ListData):
    """Three problems, the second of 5,000 tokens."""

    def build(self, context):
        records = super().build(context)
        records[1] = {**records[1], "prompt": "9" * 5000}
        return records


class OnlyEmpty(ListData):
    """No split but an empty one."""

    def splits(self):
        return ("empty",)


@dataclass
class WithEmpty(ListData):
    """Three problems, the first of which ask for nothing."""

    num_empty: int

    def build(self, context):
        records = super().build(context)
        for record in records[: self.num_empty]:
            record["prompt"] = ""
        return records


class ScriptedEngine:
    """An engine that answers problem n with `#n`, but the last one with `#` and the budget used up."""

    def __init__(self):
        self.requests = []
        self.params, self.version = None, 5

    def update_weights(self, weights):
        self.params, self.version = weights.tree, weights.version

    def generate(self, requests):
        self.requests.append(list(requests))
        return [self._complete(request) for request in requests]

    def stats(self):
        tracker = StatsTracker()
        tracker.sum("decode_steps", 4)
        return tracker

    def _complete(self, request):
        is_last = request.id == 2
        text = b"#" if is_last else b"#%d" % request.id
        tokens = np.array([*text, *([] if is_last else [256])], np.int32)
        return Completion(
            request_id=request.id,
            tokens=tokens,
            logprobs=np.zeros(len(tokens), np.float32),
            finish_reason="length" if is_last else "stop",
            weight_version=self.version,
        )


class ListWriter:
    def __init__(self):
        self.rows = []

    def write(self, step, rows, *, shown):
        self.rows += [(step, row) for row in rows]
        assert all(set(shown) <= set(row) for _, row in self.rows)


@pytest.fixture
def evaluate():
    """Return a function that evaluates a config once and returns summary, rows and engine."""

    def run(writer=None, **options):
        rewards = {"exact_match": ExactMatch(), "format": Format()}
        config = GreedyEvaluation(rewards=rewards, **options)
        engine, writer = ScriptedEngine(), writer or ListWriter()
        evaluation = config.build(
            EvaluationContext(data=ListData(), tokenizer=ByteTokenizer(), writer=writer)
        )
        return evaluation(engine, 40).summary(), writer.rows, engine

    return run


def test_statistics_are_means_over_problems(evaluate):
    summary, _, _ = evaluate()
    assert summary.pop("time/evaluation_seconds") > 0
    assert summary == {
        "eval/accuracy": pytest.approx(2 / 3),
        "eval/exact_match": pytest.approx(2 / 3),
        "eval/format": pytest.approx(2 / 3),
        "eval/failed": 0.0,
        "eval/completion_tokens": pytest.approx(7 / 3),
        "eval/truncated": pytest.approx(1 / 3),
        "perf/evaluation/decode_steps": 4.0,
    }


def test_accuracy_is_the_first_reward_over_scored_samples():
    class MissingAnswer(ListData):
        def build(self, context):
            assert context.split == "test"
            return Records([{"prompt": "0="}, *({"prompt": f"{n}=", "answer": "0"} for n in (1, 2))])

    config = GreedyEvaluation(rewards={"exact_match": ExactMatch()})
    evaluation = config.build(EvaluationContext(data=MissingAnswer(), tokenizer=ByteTokenizer()))
    summary = evaluation(ScriptedEngine(), 0).summary()
    assert summary["eval/accuracy"] == 0.0
    assert summary["eval/failed"] == 1.0
    assert summary["eval/failed/exact_match/KeyError"] == 1.0


def test_requests_are_greedy_and_the_same_each_time():
    engine = ScriptedEngine()
    evaluation = GreedyEvaluation(num_problems=2, max_new_tokens=7).build(
        EvaluationContext(data=ListData(), tokenizer=ByteTokenizer())
    )
    evaluation(engine, 0)
    evaluation(engine, 1)
    first, second = engine.requests
    assert first == second
    assert [request.temperature for request in first] == [0.0, 0.0]
    assert [bytes(request.prompt_tokens) for request in first] == [b"0=", b"1="]
    assert evaluation.max_tokens == 2 + 7


def test_rows_have_text_reward_and_ending(evaluate):
    _, rows, _ = evaluate()
    assert rows[0] == (
        40,
        {
            "problem": 0,
            "prompt": "0=",
            "completion": "#0",
            "answer": "0",
            "reward": 2.0,
            "rewards": {"exact_match": 1.0, "format": 1.0},
            "status": "stop",
            "completion_tokens": 3,
        },
    )
    assert [row["status"] for _, row in rows] == ["stop", "stop", "length"]


@pytest.mark.parametrize(("every", "expected"), [(0, [0, 10]), (4, [0, 4, 8, 10]), (5, [0, 5, 10])])
def test_due_at_start_interval_and_end(every, expected):
    evaluation = GreedyEvaluation(every_steps=every).build(
        EvaluationContext(data=ListData(), tokenizer=ByteTokenizer())
    )
    assert [step for step in range(11) if evaluation.due(step, 10)] == expected


def test_empty_split_is_refused():
    context = EvaluationContext(data=ListData(), tokenizer=ByteTokenizer())
    with pytest.raises(ConfigError, match=r"^evaluation\.split=empty has no records") as caught:
        GreedyEvaluation(split="empty").build(context)
    for split in named(str(caught.value), r"; add some, or choose one of (.*)$").split(", "):
        assert GreedyEvaluation(split=split).build(context).num_problems == 3


def test_an_empty_split_without_another_is_to_be_filled():
    context = EvaluationContext(data=OnlyEmpty(), tokenizer=ByteTokenizer())
    with pytest.raises(ConfigError, match=r"^evaluation\.split=empty has no records; add some$"):
        GreedyEvaluation(split="empty").build(context)


def test_an_empty_prompt_is_left_out_and_counted_apart():
    said = []
    context = EvaluationContext(data=WithEmpty(1), tokenizer=ByteTokenizer(), say=said.append)
    assert GreedyEvaluation().build(context).num_problems == 2
    assert said == ["1 of 3 evaluation prompts are empty and are left out"]
    with pytest.raises(DataError, match=r"^evaluation: every prompt is empty; give the records a text"):
        GreedyEvaluation().build(EvaluationContext(data=WithEmpty(3), tokenizer=ByteTokenizer()))


@pytest.mark.parametrize(
    ("options", "positions", "bound"),
    [
        ({"max_prompt_tokens": 3}, None, "evaluation.max_prompt_tokens=3 tokens"),
        ({"max_new_tokens": 5}, 8, "the model's 8 positions less evaluation.max_new_tokens=5"),
    ],
)
def test_a_problem_that_is_too_long_is_left_out_and_said(options, positions, bound):
    said = []
    context = EvaluationContext(
        data=Overlong(), tokenizer=ByteTokenizer(), positions=positions, say=said.append
    )
    evaluation = GreedyEvaluation(**options).build(context)
    assert evaluation.num_problems == 2
    assert len(said) == 1
    assert said[0].startswith(f"1 of 3 evaluation prompts are longer than {bound} and are left out; ")


def test_twin_problems_that_fit_are_all_taken_and_nothing_is_said():
    said = []
    context = EvaluationContext(data=Overlong(), tokenizer=ByteTokenizer(), positions=99999, say=said.append)
    assert GreedyEvaluation(max_prompt_tokens=5000, max_new_tokens=5).build(context).num_problems == 3
    assert said == []


def test_problems_that_are_all_too_long_are_refused_with_the_shortest():
    context = EvaluationContext(data=Overlong(), tokenizer=ByteTokenizer())
    with pytest.raises(DataError) as refused:
        GreedyEvaluation(max_prompt_tokens=1).build(context)
    assert str(refused.value) == (
        "evaluation: no prompt has evaluation.max_prompt_tokens=1 tokens or fewer (the shortest has 2); "
        "raise evaluation.max_prompt_tokens"
    )


def test_no_reward_is_refused():
    with pytest.raises(ConfigError, match="rewards: there is nothing to score with"):
        GreedyEvaluation(rewards={}).build(EvaluationContext(data=ListData(), tokenizer=ByteTokenizer()))


@pytest.mark.parametrize("option", ["num_problems", "max_new_tokens", "every_steps"])
def test_numbers_that_select_nothing_are_refused(option):
    with pytest.raises(ConfigError, match=option):
        GreedyEvaluation(**{option: -1})


def test_a_split_that_the_data_lacks_gives_an_evaluation_that_is_never_due():
    config = GreedyEvaluation(split="validation", rewards={"exact_match": ExactMatch()})
    evaluation = config.build(EvaluationContext(data=ListData(), tokenizer=ByteTokenizer()))
    assert (evaluation.num_problems, evaluation.max_tokens) == (0, 0)
    assert not any(evaluation.due(step, 5) for step in range(6))

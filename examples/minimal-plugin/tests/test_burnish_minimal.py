import numpy as np
from burnish_minimal.engine import DeduplicatedEngine

from burnish.platform import StatsTracker, run
from burnish.sample import Completion, Request


class CountingEngine:
    """Answers each request with its own id, so that a shared answer can be told."""

    version = 3

    def __init__(self) -> None:
        self.num_generated = 0

    def update_weights(self, weights) -> None: ...

    def generate(self, requests):
        self.num_generated += len(requests)
        return [
            Completion(
                request_id=each.id,
                tokens=np.array([each.id]),
                logprobs=np.zeros(1),
                finish_reason="stop",
                weight_version=self.version,
            )
            for each in requests
        ]

    def stats(self):
        return StatsTracker()


def request(number, prompt, temperature):
    return Request(id=number, prompt_tokens=prompt, max_new_tokens=1, temperature=temperature)


def test_equal_greedy_requests_are_generated_once():
    inner = CountingEngine()
    engine = DeduplicatedEngine(inner)

    answers = engine.generate([request(0, [7], 0.0), request(1, [8], 0.0), request(2, [7], 0.0)])

    assert inner.num_generated == 2
    assert [each.request_id for each in answers] == [0, 1, 2]
    assert [int(each.tokens[0]) for each in answers] == [0, 1, 0]
    assert engine.stats().summary() == {"spared_requests": 1}


def test_equal_sampled_requests_are_generated_each():
    inner = CountingEngine()
    DeduplicatedEngine(inner).generate([request(0, [7], 1.0), request(1, [7], 1.0)])

    assert inner.num_generated == 2


def test_census_runs_through_its_entry_point(tmp_path):
    finished = run(["stage=census", f"run.output_dir={tmp_path}", "stages.census.max_records=5"])

    assert finished.summary["census"]["census/prompt_characters"] == 10

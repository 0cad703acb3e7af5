"""Slots are refilled while others decode: how many steps that takes, and that no shape is compiled twice."""

from dataclasses import replace

import numpy as np
import pytest

from burnish.llm.versioned_weights import Weights


@pytest.fixture
def geometric_requests(make_requests):
    """Return 160 requests whose budgets are geometric with mean 8."""
    budgets = np.minimum(np.random.default_rng(5).geometric(1 / 8, 160), 40)
    return [
        replace(request, max_new_tokens=int(budget))
        for request, budget in zip(make_requests(160), budgets, strict=True)
    ]


def _steps_over_bound(engine, calls):
    """Return decode steps done over the fewest there could be: tokens / slots."""
    engine.stats()
    tokens = sum(len(done.tokens) for requests in calls for done in engine.generate(requests))
    summary = engine.stats().summary()
    assert summary["tokens"] == tokens
    assert summary["utilization"] == pytest.approx(tokens / (summary["decode_steps"] * engine.shape.slots))
    return summary["decode_steps"] / (tokens / engine.shape.slots)


def test_geometric_budgets_with_refill_need_few_steps(make_engine, geometric_requests):
    engine = make_engine(max_tokens=50, eos_token_ids=())
    assert _steps_over_bound(engine, [geometric_requests]) < 1.3


def test_geometric_ends_by_token_with_refill_need_few_steps(make_engine, make_requests):
    engine = make_engine(max_tokens=50, eos_token_ids=(3, 17, 29, 33, 40))
    assert _steps_over_bound(engine, [make_requests(160, max_new_tokens=40)]) < 1.3


def test_geometric_budgets_without_refill_need_too_many_steps(make_engine, geometric_requests):
    engine = make_engine(max_tokens=50, eos_token_ids=())
    batches = [geometric_requests[start : start + 8] for start in range(0, 160, 8)]
    assert not _steps_over_bound(engine, batches) < 1.3


def test_compiles_from_third_call_on_are_none(make_engine, make_requests, make_params, count_compiles):
    engine = make_engine(max_tokens=26)
    engine.generate(make_requests(11))
    engine.generate(make_requests(3, temperature=0.0))
    engine.update_weights(Weights(1, make_params(1)))
    count_compiles()
    engine.generate(make_requests(30, temperature=0.3, seed=9, max_new_tokens=16))
    engine.update_weights(Weights(2, make_params(2)))
    engine.generate(make_requests(1, temperature=0.0, seed=4))
    assert count_compiles() == 0


def test_compiles_of_second_engine_of_one_shape_are_none(make_engine, make_requests, count_compiles):
    make_engine(max_tokens=27).generate(make_requests(11))
    count_compiles()
    make_engine(max_tokens=27).generate(make_requests(12, temperature=0.0))
    assert count_compiles() == 0


def test_compiles_of_second_engine_of_another_shape_are_some(make_engine, make_requests, count_compiles):
    make_engine(max_tokens=28).generate(make_requests(11))
    count_compiles()
    make_engine(max_tokens=29).generate(make_requests(11))
    assert count_compiles() > 0

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.platform.checkpoint.retention import best_step, improves, steps_to_remove

pytestmark = pytest.mark.fast

_SCORES = st.dictionaries(st.integers(0, 50), st.floats(allow_infinity=False), max_size=8)
_MODES = st.sampled_from(["max", "min"])


@given(_SCORES, _MODES)
def test_best_step_is_the_first_that_nothing_improves_on(scores, mode):
    best = best_step(scores, mode)
    numbers = {step: score for step, score in scores.items() if not math.isnan(score)}
    if best is None:
        assert not numbers
        return
    extreme = max(numbers.values()) if mode == "max" else min(numbers.values())
    assert best == min(step for step, score in numbers.items() if score == extreme)


@given(st.floats(), _SCORES, _MODES)
def test_improves_agrees_with_best_step(score, scores, mode):
    assert improves(score, scores, mode) == (best_step({**scores, 99: score}, mode) == 99)


@given(st.sets(st.integers(0, 30), min_size=1), st.integers(1, 6), st.data())
def test_steps_to_remove_keeps_the_newest_and_the_best(steps, limit, data):
    best = data.draw(st.sampled_from([None, *sorted(steps)]))
    last = max(steps)
    kept = steps - set(steps_to_remove(steps, last, best, limit))
    assert kept == set(sorted(steps)[-limit:]) | ({best} - {None})


def test_steps_to_remove_without_a_limit_is_nothing():
    assert steps_to_remove([1, 2, 3], 3, None, None) == []

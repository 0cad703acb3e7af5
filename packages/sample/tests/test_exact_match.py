"""The exact-match reward by hand."""

import pytest

from burnish.llm.byte_tokenizer import ByteTokenizer
from burnish.platform.errors import ConfigError
from burnish.sample.config.reward import ExactMatch
from burnish.sample.rewards.protocol import RewardContext
from burnish.sample.rewards.score import score

pytestmark = pytest.mark.fast

CONTEXT = RewardContext(tokenizer=ByteTokenizer())

CASES = [
    ("#6", "6", 1.0),
    ("3,1,1,7,6#6", "6", 1.0),
    ("3,1,1,7,6#7", "6", 0.0),
    ("#5 no: #6", "6", 1.0),
    ("#6#5", "6", 0.0),
    ("6", "6", 0.0),
    ("", "6", 0.0),
    ("#", "6", 0.0),
    ("so it is 72\n#### 72\n", "72", 1.0),
    ("so it is 72\n#### 72", "48 + 24 = 72\n#### 72", 1.0),
    ("####72 ", "48 + 24 = 72\n#### 72", 1.0),
    ("#-6", "-6", 1.0),
    ("#6", "-6", 0.0),
    ("#- 6", "-6", 0.0),
    ("#1,000", "1,000", 1.0),
    ("#1000", "1,000", 0.0),
    ("#6.0", "6", 0.0),
    ("# 6 apples ", "6 apples", 1.0),
    ("#6", 6, 1.0),
]


@pytest.mark.parametrize(("completion", "answer", "value"), CASES)
def test_answer_after_last_mark_is_compared_literally(make_samples, completion, answer, value):
    results = ExactMatch().build(CONTEXT)(make_samples((completion, answer)))
    assert [(result.value, result.status) for result in results] == [(value, "scored")]


def test_answer_after_first_mark_is_another_reward(make_samples):
    first = ExactMatch(answer_pattern="[^#]*#([^#]*)").build(CONTEXT)
    assert any(first(make_samples((text, answer)))[0].value != value for text, answer, value in CASES)


def test_own_pattern_and_key_are_used(make_samples):
    reward = ExactMatch(answer_pattern=r"(?s).*<answer>(.*)</answer>", answer_key="answer").build(CONTEXT)
    assert reward(make_samples(("x <answer> 7 </answer>", "7")))[0].value == 1.0


def test_record_without_answer_is_failed_not_zero(make_samples):
    scored = score(
        make_samples(("#6", "6")), {"exact_match": ExactMatch(answer_key="solution").build(CONTEXT)}
    )
    assert scored.samples[0].reward is None
    assert scored.failures == {("exact_match", "KeyError"): 1}


@pytest.mark.parametrize("pattern", ["#.*", "#(", ""])
def test_pattern_without_group_is_refused(pattern):
    with pytest.raises(ConfigError, match="answer_pattern"):
        ExactMatch(answer_pattern=pattern)

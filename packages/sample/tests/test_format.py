"""The format reward by hand."""

import pytest

from burnish.llm.byte_tokenizer import ByteTokenizer
from burnish.platform.errors import ConfigError
from burnish.sample.config.reward import Format
from burnish.sample.rewards.protocol import RewardContext

pytestmark = pytest.mark.fast

CONTEXT = RewardContext(tokenizer=ByteTokenizer())


@pytest.mark.parametrize(
    ("completion", "value"),
    [("3,1#6", 1.0), ("#6", 1.0), (" #6\n", 1.0), ("#", 0.0), ("6", 0.0), ("", 0.0), ("a\n#### 7", 1.0)],
)
def test_default_pattern_asks_for_a_mark_and_something_after(make_samples, completion, value):
    assert Format().build(CONTEXT)(make_samples((completion, "6")))[0].value == value


def test_pattern_must_match_from_end_to_end(make_samples):
    reward = Format(pattern=r"#\d").build(CONTEXT)
    completions = ["#6", "#66", "x#6"]
    results = reward(make_samples(*((completion, "6") for completion in completions)))
    assert [result.value for result in results] == [1.0, 0.0, 0.0]


def test_broken_pattern_is_refused():
    with pytest.raises(ConfigError, match=r"pattern='\(' is no regular"):
        Format(pattern="(")

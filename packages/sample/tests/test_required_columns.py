"""Which rewards are refused for what the records lack, and what is said to be done."""

from dataclasses import dataclass

import pytest

from burnish.platform.data.config import Arithmetic, Jsonl
from burnish.platform.errors import ConfigError
from burnish.sample.config.reward import ExactMatch, Format
from burnish.sample.rewards.required_columns import require_columns

pytestmark = pytest.mark.fast

RECORDS = [{"prompt": "a"}, {"prompt": "b", "answer": "c"}]


@dataclass(frozen=True)
class Own:
    """A reward of somebody's own, which says what it reads."""

    @property
    def columns(self):
        return frozenset({"solution"})


def said_of(rewards, records=RECORDS, data=None):
    with pytest.raises(ConfigError) as refused:
        require_columns(rewards, records, data or Arithmetic(), "stages.rl.rewards")
    return str(refused.value)


def test_a_column_that_some_record_has_is_there():
    require_columns({"right": ExactMatch(), "f": Format()}, RECORDS, Arithmetic(), "here")


def test_a_column_that_no_record_has_is_named_with_the_options_that_help():
    rewards = {"right": ExactMatch(), "f": Format()}
    assert said_of(rewards, RECORDS[:1], Jsonl(path="x")) == (
        "stages.rl.rewards.right reads the column 'answer', which no record has; there are prompt; name the "
        "right one by data.answer_field=COLUMN or stages.rl.rewards.right.answer_key=COLUMN, or leave it "
        "out: stages.rl.rewards.right=null"
    )
    assert "by stages.rl.rewards.right.answer_key=COLUMN, or" in said_of(rewards, RECORDS[:1], Arithmetic())


def test_a_reward_without_an_option_for_its_column_is_left_out_or_replaced():
    assert said_of({"own": Own(), "f": Format()}).endswith("; leave it out: stages.rl.rewards.own=null")
    assert said_of({"own": Own()}).endswith("; choose another reward: stages.rl.rewards.own=format")

"""Rewards written for columns, as TRL has them: what they are given, and what they may return."""

import asyncio
import functools
from dataclasses import dataclass
from typing import Any

import pytest

from burnish.llm.byte_tokenizer import ByteTokenizer
from burnish.llm.sequence import make_sample
from burnish.platform.configuration.component import FunctionComponent
from burnish.platform.errors import ConfigError
from burnish.sample.rewards.protocol import RewardContext, build_rewards
from burnish.sample.rewards.score import score

pytestmark = pytest.mark.fast

USER, ANSWER = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "old"}


def sample_of(text, **record):
    return make_sample([1, 2], [*text.encode()], completion=text, record=record, is_sampled=True)


SAMPLES = [
    sample_of("four", prompt="2+2", completion="a demonstration", answer="four", level=1),
    sample_of("five", prompt="3+3", answer="six"),
]


def scored_by(function, samples=SAMPLES):
    """Score as a stage does, with a function that the config names."""
    context = RewardContext(tokenizer=ByteTokenizer())
    return score(samples, build_rewards({"mine": FunctionComponent(function)}, context))


@dataclass
class BuiltTo:
    """A reward component that builds to what it is given."""

    made: Any

    def build(self, _):
        return self.made


def test_a_function_of_completions_is_given_columns_by_name():
    seen = {}

    def reward(prompts, completions, completion_ids, **columns):
        seen.update(columns, prompts=prompts, completions=completions, completion_ids=completion_ids)
        return [1.0, None]

    assert [sample.reward for sample in scored_by(reward).samples] == [1.0, None]
    assert seen == {
        "prompts": ["2+2", "3+3"],
        "completions": ["four", "five"],
        "completion_ids": [[*b"four"], [*b"five"]],
        "answer": ["four", "six"],
        "level": [1, None],
    }


def test_a_function_gets_those_columns_that_it_names():
    def reward(completions, answer, strictness=2.0):
        return [strictness * (text == right) for text, right in zip(completions, answer, strict=True)]

    assert [sample.reward for sample in scored_by(reward).samples] == [2.0, 0.0]


def test_twin_a_function_of_samples_is_given_samples():
    def reward(samples):
        return [len(sample.completion) for sample in samples]

    assert [sample.reward for sample in scored_by(reward).samples] == [4, 4]


def test_of_a_conversation_prompts_and_completions_are_messages():
    seen = {}

    def reward(prompts, completions, **_):
        seen.update(prompts=prompts, completions=completions)
        return [float(completion[0]["content"] == "x") for completion in completions]

    scored = scored_by(reward, [sample_of("x", messages=[USER, ANSWER])])
    assert scored.samples[0].reward == 1
    assert seen == {"prompts": [[USER]], "completions": [[{"role": "assistant", "content": "x"}]]}


def test_a_prompt_that_is_a_list_of_messages_is_a_conversation_too():
    seen = {}

    def reward(prompts, completions, **_):
        seen.update(prompts=prompts, completions=completions)
        return [1.0]

    assert scored_by(reward, [sample_of("x", prompt=[USER])]).num_failed == 0
    assert seen == {"prompts": [[USER]], "completions": [[{"role": "assistant", "content": "x"}]]}


class Scorer:
    """What is 1 for a text that is the answer, called in several ways."""

    def __call__(self, completions, answer):
        return self.method(completions, answer)

    def method(self, completions, answer):
        return [float(text == right) for text, right in zip(completions, answer, strict=True)]


class AsyncScorer(Scorer):
    async def __call__(self, completions, answer):
        return self.method(completions, answer)


def scaled(factor, completions, answer):
    return [factor * value for value in Scorer()(completions, answer)]


@pytest.mark.parametrize(
    "reward",
    [Scorer(), AsyncScorer(), Scorer().method, functools.partial(scaled, 1.0)],
    ids=["object", "asynchronous object", "method", "partial"],
)
def test_whatever_can_be_called_with_completions_is_given_columns(reward):
    rewards = build_rewards({"mine": BuiltTo(reward)}, RewardContext(tokenizer=ByteTokenizer()))
    assert [sample.reward for sample in score(SAMPLES, rewards).samples] == [1.0, 0.0]


@pytest.mark.parametrize("is_asynchronous", [False, True])
def test_a_sample_that_is_scored_alone_has_the_columns_of_all(is_asynchronous):
    """The second has no `level`, and is asked about by itself: at once, or after the call with both."""
    seen = []

    def reward(completions, level):
        seen.append((completions, level))
        if len(completions) > 1:
            raise ValueError("one at a time")
        return [1.0]

    async def awaited(completions, level):
        return reward(completions, level)

    assert scored_by(awaited if is_asynchronous else reward).num_failed == 0
    assert seen[-2:] == [(["four"], [1]), (["five"], [None])]


@pytest.mark.parametrize("is_asynchronous", [False, True])
def test_a_column_that_is_nowhere_is_refused_before_any_call(is_asynchronous):
    def reward(completions, solution):
        return [*solution, *completions]

    async def awaited(completions, solution):
        return reward(completions, solution)

    with pytest.raises(ConfigError, match="wants `solution`, and there is only answer, "):
        scored_by(awaited if is_asynchronous else reward)


def test_an_asynchronous_function_of_columns_is_awaited():
    async def reward(completions, **_):
        await asyncio.sleep(0)
        return [len(text) for text in completions]

    assert [sample.reward for sample in scored_by(reward).samples] == [4, 4]


def test_a_decorated_function_is_seen_through():
    def logged(function):
        @functools.wraps(function)
        def call(*arguments, **options):
            return function(*arguments, **options)

        return call

    @logged
    def reward(completions, answer):
        del answer
        return [1] * len(completions)

    assert [sample.reward for sample in scored_by(reward).samples] == [1, 1]


def test_a_column_that_is_nowhere_is_said_once_with_what_there_is():
    def reward(completions, solution, **_):
        return [*solution, *completions]

    with pytest.raises(ConfigError) as refused:
        scored_by(reward)
    assert f"{reward.__qualname__}, {__file__}:{reward.__code__.co_firstlineno}) wants `solution`" in str(
        refused.value
    )
    assert str(refused.value).endswith(
        "and there is only answer, completion_ids, completions, level, prompts; rename the parameter, or "
        "give it a default"
    )

    def renamed(completions, answer, **_):
        return [text == right for text, right in zip(completions, answer, strict=True)]

    def defaulted(completions, solution=None, **_):
        return [solution is None for _ in completions]

    for function in (renamed, defaulted):
        assert scored_by(function).num_failed == 0


def test_a_function_that_raises_fails_the_samples_that_make_it():
    def reward(completions, **_):
        return [1 / (text != "five") for text in completions]

    scored = scored_by(reward)
    assert [sample.reward for sample in scored.samples] == [1, None]
    assert scored.failures == {("mine", "ZeroDivisionError"): 1}


class Counting:
    """A reward of columns that counts what it is asked."""

    state_version = 0

    def __call__(self, completions):
        self.state_version += 1
        return [1.0] * len(completions)

    def save_state(self):
        return {"asked": self.state_version}

    def load_state(self, state):
        self.state_version = state["asked"]


def test_the_version_of_a_state_is_read_from_the_reward_itself():
    reward = Counting()
    reward.state_version = 0
    [built] = build_rewards({"mine": BuiltTo(reward)}, RewardContext(tokenizer=ByteTokenizer())).values()
    score(SAMPLES, {"mine": built})
    assert built.save_state() == {"asked": 1}
    assert not hasattr(built, "state_version")

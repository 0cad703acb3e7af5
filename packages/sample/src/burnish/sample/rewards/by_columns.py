"""Rewards that are written for columns and not for samples: `def reward(completions, prompts, **columns)`.

It is what TRL calls a reward function, so one that is written for it is taken as it is.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from burnish.llm.chat import prompt_messages
from burnish.llm.sequence import Sample
from burnish.platform.errors import ConfigError
from burnish.sample.rewards.protocol import AsyncReward, Reward
from burnish.sample.rewards.source_place import place_of

MARK = "completions"
"""A function with a parameter of this name takes columns."""

_VARIADIC = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


def takes_columns(reward: Callable[..., Any]) -> bool:
    """Whether a reward is a function of completions and columns, and not of samples."""
    return inspect.isfunction(reward) and MARK in inspect.signature(reward).parameters


def by_columns(label: str, function: Callable[..., Any]) -> Reward | AsyncReward:
    """Return the reward that calls a function with lists, each with an entry per sample.

    They are `prompts`, `completions`, `completion_ids`, and what else the records hold, by name; a function
    without `**columns` gets those that it names. Of a conversation a prompt is its messages and a completion
    the assistant's one message, else both are texts. Calling it raises `ConfigError` for a column that the
    function needs and no record has.
    """
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(samples: Sequence[Sample]) -> Any:
            return await function(**_arguments(label, function, samples))

        return awaited

    @functools.wraps(function)
    def called(samples: Sequence[Sample]) -> Any:
        return function(**_arguments(label, function, samples))

    return called


def _arguments(label: str, function: Callable[..., Any], samples: Sequence[Sample]) -> dict[str, Any]:
    columns = {
        **_columns(samples),
        "prompts": [_prompt(sample) for sample in samples],
        MARK: [_completion(sample) for sample in samples],
        "completion_ids": [sample.tokens[sample.sampled].tolist() for sample in samples],
    }
    parameters = inspect.signature(function).parameters.values()
    for parameter in parameters:
        is_needed = parameter.default is parameter.empty and parameter.kind not in _VARIADIC
        if is_needed and parameter.name not in columns:
            raise ConfigError(
                f"reward '{label}' ({place_of(function)}) wants `{parameter.name}`, and there is only "
                f"{', '.join(sorted(columns))}; rename the parameter, or give it a default"
            )
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return columns
    named = {parameter.name for parameter in parameters}
    return {name: values for name, values in columns.items() if name in named}


def _columns(samples: Sequence[Sample]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for sample in samples for name in sample.record)
    others = [name for name in names if name not in ("prompt", "completion")]
    return {name: [sample.record.get(name) for sample in samples] for name in others}


def _is_conversation(record: Mapping[str, Any]) -> bool:
    return record.get("messages") is not None


def _prompt(sample: Sample) -> Any:
    if _is_conversation(sample.record):
        return prompt_messages(sample.record["messages"])
    return sample.record.get("prompt", sample.prompt)


def _completion(sample: Sample) -> Any:
    if _is_conversation(sample.record):
        return [{"role": "assistant", "content": sample.completion}]
    return sample.completion

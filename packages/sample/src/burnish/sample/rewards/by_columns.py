"""Rewards that are written for columns and not for samples: `def reward(completions, prompts, **columns)`.

It is what TRL calls a reward function, so one that is written for it is taken as it is.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from burnish.llm.chat import messages_of, prompt_messages
from burnish.llm.sequence import Sample
from burnish.platform.errors import ConfigError
from burnish.sample.rewards.protocol import AsyncReward, Reward, is_async
from burnish.sample.rewards.source_place import place_of

MARK = "completions"
"""What has a parameter of this name takes columns."""

_VARIADIC = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
_KEPT = (*functools.WRAPPER_ASSIGNMENTS, "save_state", "load_state")
"""What the reward of samples has of the reward of columns: its names, and its state where it has one."""


def takes_columns(reward: object) -> bool:
    """Whether a reward is called with completions and columns, and not with samples.

    It may be a function, a method, a `functools.partial`, or an object that can be called.
    """
    return MARK in _parameters(reward)


def by_columns(reward: Callable[..., Any]) -> Reward | AsyncReward:
    """Return the reward of samples that calls one of columns with lists, each with an entry per sample.

    They are `prompts`, `completions`, `completion_ids`, and what else the records hold, by name; a reward
    without `**columns` gets those that it names. Of a conversation a prompt is its messages and a completion
    the assistant's one message, else both are texts.
    """
    if is_async(reward):

        @functools.wraps(reward, assigned=_KEPT, updated=())
        async def awaited(samples: Sequence[Sample]) -> Any:
            return await reward(**_arguments(reward, samples))

        return awaited

    @functools.wraps(reward, assigned=_KEPT, updated=())
    def called(samples: Sequence[Sample]) -> Any:
        return reward(**_arguments(reward, samples))

    return called


def with_all_columns(label: str, reward: Callable[..., Any], samples: Sequence[Sample]) -> Sequence[Sample]:
    """Return the samples as a reward of columns is given them, whether together or one at a time.

    Each has every column that any of them has, None where it has none of its own. A reward of samples gets
    them as they are. Raises `ConfigError` for a column that the reward needs and no sample has.
    """
    if not takes_columns(reward):
        return samples
    names = _names(samples)
    there = {*names, "prompts", MARK, "completion_ids"}
    for name, parameter in _parameters(reward).items():
        is_needed = parameter.default is parameter.empty and parameter.kind not in _VARIADIC
        if is_needed and name not in there:
            raise ConfigError(
                f"reward '{label}' ({place_of(reward)}) wants `{name}`, and there is only "
                f"{', '.join(sorted(there))}; rename the parameter, or give it a default"
            )
    return [replace(sample, record={**dict.fromkeys(names), **sample.record}) for sample in samples]


def _parameters(reward: object) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of what can be called, none where it does not tell them."""
    if not callable(reward):
        return {}
    try:
        return inspect.signature(reward).parameters
    except (TypeError, ValueError):
        return {}


def _names(samples: Sequence[Sample]) -> list[str]:
    names = dict.fromkeys(name for sample in samples for name in sample.record)
    return [name for name in names if name not in ("prompt", "completion")]


def _arguments(reward: Callable[..., Any], samples: Sequence[Sample]) -> dict[str, Any]:
    columns = {
        **{name: [sample.record.get(name) for sample in samples] for name in _names(samples)},
        "prompts": [_prompt(sample) for sample in samples],
        MARK: [_completion(sample) for sample in samples],
        "completion_ids": [sample.tokens[sample.sampled].tolist() for sample in samples],
    }
    parameters = _parameters(reward)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return columns
    return {name: values for name, values in columns.items() if name in parameters}


def _prompt(sample: Sample) -> Any:
    messages = messages_of(sample.record)
    return sample.record.get("prompt", sample.prompt) if messages is None else prompt_messages(messages)


def _completion(sample: Sample) -> Any:
    if messages_of(sample.record) is None:
        return sample.completion
    return [{"role": "assistant", "content": sample.completion}]

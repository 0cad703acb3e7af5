"""Eight virtual CPU devices, groups by hand, and a run over a tiny model in a directory of its own."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from burnish.llm.sequence import Sample, make_sample
from burnish.llm.testing import SMALL_MODEL
from burnish.platform.testing import InMemoryData, KeptRows, make_run, use_virtual_devices
from burnish.rl.groups import Group
from burnish.sample.testing import small_components

use_virtual_devices()

MODEL = replace(SMALL_MODEL, initializer_range=0.3)
"""Large enough weights for the next token to be anything but uniform."""


def _group(number: int, rewards: Sequence[float | None]) -> Group:
    """A group whose sample i has a prompt of 2 tokens, a completion of i + 1, and the i-th reward."""
    return Group(number, tuple(_sample(i, reward) for i, reward in enumerate(rewards)))


def _sample(i: int, reward: float | None) -> Sample:
    columns = {"behavior_logprobs": [-0.5] * (i + 1)}
    status = "failed" if reward is None else "stop"
    return make_sample([7, 8], list(range(i + 1)), columns, is_sampled=True, reward=reward, status=status)


@pytest.fixture
def group() -> Callable[[int, Sequence[float | None]], Group]:
    return _group


@pytest.fixture
def records():
    """Return a maker of a source of prompts."""
    return lambda *prompts: InMemoryData(tuple({"prompt": prompt, "answer": "x"} for prompt in prompts))


@pytest.fixture
def run(tmp_path):
    """Return a run whose rows are kept in `run.rows`."""
    sink = KeptRows()
    made = make_run(tmp_path / "run", "rl", sink)
    made.rows = sink.rows
    return made


@pytest.fixture
def shared(records):
    """The shared components of a stage, the smallest there are, over prompts of 1 to 11 bytes."""
    data = records(*("ab" * (i % 6) + "?" for i in range(12)))
    return small_components(data, MODEL, slots=8)

import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")

from collections.abc import Callable, Sequence

import jax
import pytest

from burnish.llm.sequence import Sample, make_sample
from burnish.rl.groups import Group

jax.config.update("jax_numpy_rank_promotion", "raise")


def _group(number: int, rewards: Sequence[float | None]) -> Group:
    """A group whose sample i has a prompt of 2 tokens, a completion of i + 1, and the i-th reward."""
    return Group(number, tuple(_sample(i, reward) for i, reward in enumerate(rewards)))


def _sample(i: int, reward: float | None) -> Sample:
    columns = {"behavior_logprobs": [-0.5] * (i + 1)}
    status = "failed" if reward is None else "stop"
    return make_sample([7, 8], list(range(i + 1)), columns, reward=reward, status=status)


@pytest.fixture
def group() -> Callable[[int, Sequence[float | None]], Group]:
    return _group

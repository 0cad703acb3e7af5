"""The slot `reward`: samples in, one result per sample out, now or awaited."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, SupportsFloat, runtime_checkable

from burnish.llm.sequence import Sample
from burnish.llm.tokenizer import Tokenizer
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.configuration.conformance import built, conforming


@dataclass(frozen=True, slots=True)
class RewardResult:
    """What one reward says of one sample; only a `scored` one has a value that counts.

    A `silent` one has nothing to say about the sample, which is then worth what the others say. `reason`
    begins with one word that statistics count by, such as an exception's name, and may go on after a colon.
    """

    value: float
    status: Literal["scored", "failed", "silent"] = "scored"
    reason: str = ""


Result = RewardResult | SupportsFloat | None
"""What a reward may say of a sample: a number is its score, None that it has nothing to say."""


@runtime_checkable
class Reward(Protocol):
    """Scores samples; may raise, which counts as failed for the samples that cause it and no others."""

    def __call__(self, samples: Sequence[Sample], /) -> Sequence[Result]:
        """Return one result per sample, in order."""
        ...


@runtime_checkable
class AsyncReward(Protocol):
    """Scores samples by waiting for something; called with one sample each, side by side, under a timeout."""

    async def __call__(self, samples: Sequence[Sample], /) -> Sequence[Result]:
        """Return one result per sample, in order."""
        ...


def is_async(reward: object) -> bool:
    """Whether a reward is to be awaited: a function, a method or a callable object that is asynchronous."""
    return inspect.iscoroutinefunction(reward) or inspect.iscoroutinefunction(type(reward).__call__)


@dataclass(frozen=True, kw_only=True)
class RewardContext:
    """What a `reward` component may use."""

    tokenizer: Tokenizer
    """What the samples' tokens were made with."""

    jax: JaxConfig = field(default_factory=JaxConfig)
    """Devices and number formats of the run."""

    seed: int = 0
    """The run's seed."""

    stage: str = ""
    """The block of the chain that asks."""

    artifacts: Artifacts = field(default_factory=Artifacts)
    """What stages before have made."""


class RewardComponent(Protocol):
    """Options of a reward, or a plain function."""

    def build(self, context: RewardContext, /) -> Reward | AsyncReward:
        """Return the reward."""
        ...


def build_rewards(
    components: Mapping[str, RewardComponent], context: RewardContext
) -> dict[str, Reward | AsyncReward]:
    """Return the rewards by their labels; ComponentError where what is built cannot be called."""
    return {label: _built(component, context) for label, component in components.items()}


def _built(component: RewardComponent, context: RewardContext) -> Reward | AsyncReward:
    from burnish.sample.rewards.by_columns import by_columns, takes_columns

    made: Any = built("reward", component, object, context)
    if takes_columns(made):
        return by_columns(made)
    return conforming("reward", component, made, Reward)


SILENT = RewardResult(float("nan"), "silent", "none: it has nothing to say about this sample")
"""What is read from a None."""


def failed(reason: str) -> RewardResult:
    """Return the result of a sample that could not be scored."""
    return RewardResult(float("nan"), "failed", reason)

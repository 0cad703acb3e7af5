"""The slot `reward`: samples in, one result per sample out, now or awaited."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, SupportsFloat, runtime_checkable

from burnish.llm.sequence import Sample
from burnish.llm.tokenizer import Tokenizer
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.configuration.conformance import built


@dataclass(frozen=True, slots=True)
class RewardResult:
    """What one reward says of one sample; a `failed` one has no value that counts.

    `reason` of a failure begins with one word that statistics count by, such as an exception's name, and may
    go on after a colon.
    """

    value: float
    status: Literal["scored", "failed"] = "scored"
    reason: str = ""


Result = RewardResult | SupportsFloat | None
"""What a reward may say of a sample: a number is its score, None that there is none."""


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
    return {label: built("reward", component, Reward, context) for label, component in components.items()}


def failed(reason: str) -> RewardResult:
    """Return the result of a sample that could not be scored."""
    return RewardResult(float("nan"), "failed", reason)

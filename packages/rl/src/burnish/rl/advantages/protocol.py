"""The slot `advantage`: groups to one number per completion token."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from jaxtyping import Float

from burnish.platform.configuration.artifacts import Artifacts
from burnish.rl.groups import Group

TokenAdvantages = Float[np.ndarray, " t"]
"""One number per token of a sample; 0 where nobody sampled."""


class Advantage(Protocol):
    """Groups to advantages; compares rewards, knows no model."""

    def __call__(self, groups: Sequence[Group]) -> list[list[TokenAdvantages]]:
        """Return, per group and scored sample, the advantage of each of its tokens."""
        ...


@dataclass(frozen=True, kw_only=True)
class AdvantageContext:
    """What an `advantage` component may use."""

    samples_per_prompt: int
    """Completions of each prompt, failed ones included."""

    seed: int = 0
    """The run's seed."""

    stage: str = ""
    """The block of the chain that learns."""

    artifacts: Artifacts = field(default_factory=Artifacts)
    """What stages before have made."""


class AdvantageComponent(Protocol):
    """Options of an advantage estimator, or a plain function.

    One that compares within a group says how many completions that takes by a class attribute
    `min_group_size`; 1 where it says nothing.
    """

    def build(self, context: AdvantageContext, /) -> Advantage:
        """Return the estimator."""
        ...


def spread(group: Group, values: Float[np.ndarray, " g"]) -> list[TokenAdvantages]:
    """Give every sampled token of a scored sample the sample's value."""
    return [
        np.where(sample.sampled, value, 0).astype(np.float32)
        for sample, value in zip(group.scored, values, strict=True)
    ]

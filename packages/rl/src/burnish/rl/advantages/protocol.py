"""The slot `advantage`: groups to one number per completion token."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.conformance import departure
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


def estimate(advantage: Advantage, groups: Sequence[Group]) -> list[list[TokenAdvantages]]:
    """Return the advantages of groups; ComponentError where scored samples have not one for each token."""
    estimated = [list(_members(of_group)) for of_group in _members(advantage(groups))]
    wanted = [[sample.tokens.shape for sample in group.scored] for group in groups]
    found = [[_shape(values) for values in of_group] for of_group in estimated]
    if found != wanted:
        what = f"returns advantages of shapes {_shown(found)} for samples of {_shown(wanted)}"
        raise departure("advantage", advantage, what, Advantage, "__call__")
    return estimated


def _members(several: object) -> Iterable[Any]:
    return several if isinstance(several, Iterable) else ()


def _shape(values: Any) -> tuple[int, ...] | None:
    """Return the shape of an array, or of numbers in lists; None where they are ragged."""
    try:
        return np.shape(values)
    except ValueError:
        return None


def _shown(shapes: Sequence[Sequence[tuple[int, ...] | None]]) -> str:
    """Return the shapes of the first group, and how many groups there are."""
    return f"{len(shapes)} groups, the first of {list(shapes[0]) if shapes else []}"


def spread(group: Group, values: Float[np.ndarray, " g"]) -> list[TokenAdvantages]:
    """Give every sampled token of a scored sample the sample's value."""
    return [
        np.where(sample.sampled, value, 0).astype(np.float32)
        for sample, value in zip(group.scored, values, strict=True)
    ]

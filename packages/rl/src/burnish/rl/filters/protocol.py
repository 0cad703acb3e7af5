"""The slot `filter`: which groups are worth an update."""

from dataclasses import dataclass, field
from typing import Protocol

from burnish.platform.configuration.artifacts import Artifacts
from burnish.rl.groups import Group


class Filter(Protocol):
    """A decision over one group."""

    def __call__(self, group: Group) -> str | None:
        """Return None to keep the group, or the reason to leave it out: a word for `accounting/`."""
        ...


@dataclass(frozen=True, kw_only=True)
class FilterContext:
    """What a `filter` component may use."""

    samples_per_prompt: int
    """Completions of each prompt, failed ones included."""

    seed: int = 0
    """The run's seed."""

    stage: str = ""
    """The block of the chain that learns."""

    artifacts: Artifacts = field(default_factory=Artifacts)
    """What stages before have made."""


class FilterComponent(Protocol):
    """Options of a filter, or a plain function."""

    def build(self, context: FilterContext, /) -> Filter:
        """Return the filter."""
        ...

"""The slot `data`: what a component is built from, and the records by index that it builds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.conformance import built, conforming, departure

Record = Mapping[str, Any]
"""One row of data.

It has "prompt" (text) or "messages" (a list), "completion" where it demonstrates, "answer" where one is
known, and whatever other columns the source has.
"""

Item = TypeVar("Item", covariant=True)


@runtime_checkable
class Source(Protocol[Item]):
    """Items by index, records as a rule; reading one has no effect on any other."""

    def __len__(self) -> int:
        """Return the number of items."""
        ...

    def __getitem__(self, index: int, /) -> Item:
        """Return the item at `index`, 0 <= index < len."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return a digest of everything the items depend on; equal content gives equal digests."""
        ...


DataSource = Source[Record]
"""What a `data` component builds."""


@dataclass(frozen=True, kw_only=True)
class DataContext:
    """What a `data` component may use."""

    split: str
    """Which of its records are asked for: one of `splits()`."""

    artifacts: Artifacts = field(default_factory=Artifacts)
    """What stages before have made."""


class DataComponent(Protocol):
    """Options of a `data` component.

    `places`, where it stands on the component, names the options that only say where the records lie: a run
    may go on with others as long as the fingerprints are those of its checkpoint.
    """

    def splits(self) -> tuple[str, ...]:
        """Return the splits there are."""
        ...

    def build(self, context: DataContext, /) -> DataSource:
        """Return the records of one split; DataError names the splits there are."""
        ...


def build_data(component: DataComponent, context: DataContext) -> DataSource:
    """Return the records of one split; ComponentError where what is built is no source of them."""
    conforming("data", component, component, DataComponent)
    source: Any = Source
    made: Any = built("data", component, source, context)
    if len(made) and not isinstance(made[0], Mapping):
        raise departure("data", made, f"has a {type(made[0]).__name__} for a record", Source, "__getitem__")
    return made

"""What a source of records is: a length, records by index, and a fingerprint of the content."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

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
"""What `build(split)` of a `data` component returns."""

"""What a source of records is: a length, records by index, and a fingerprint of the content."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

Record = Mapping[str, Any]


@runtime_checkable
class DataSource(Protocol):
    """Records by index; reading one has no effect on any other.

    A record has "prompt" (text) or "messages" (a list), "completion" where it demonstrates, "answer" where
    one is known, and whatever other columns the source has.
    """

    def __len__(self) -> int:
        """Return the number of records."""
        ...

    def __getitem__(self, index: int, /) -> Record:
        """Return the record at `index`, 0 <= index < len."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return a digest of everything the records depend on; equal content gives equal digests."""
        ...

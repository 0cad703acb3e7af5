"""What a filter is."""

from typing import Protocol

from burnish.rl.groups import Group


class Filter(Protocol):
    """A decision over one group."""

    def __call__(self, group: Group) -> str | None:
        """Return None to keep the group, or the reason to leave it out: a word for `accounting/`."""
        ...

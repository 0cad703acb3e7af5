"""What a rollout is."""

from collections.abc import Sequence
from typing import Protocol

from burnish.platform.data.source import Record
from burnish.rl.groups import Group
from burnish.sample.engine import Engine


class Rollout(Protocol):
    """A workflow over an engine."""

    def __call__(
        self, engine: Engine, records: Sequence[Record], samples_per_prompt: int, step: int
    ) -> list[Group]:
        """Return one group per record, none of them rewarded yet."""
        ...

"""What a sink is: a place that takes one row of statistics per step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, kw_only=True)
class SinkRow:
    """Which step a row belongs to."""

    stage: str
    """The stage's name in the chain."""
    step: int
    """The step within the stage; 0 is the state before the first update."""
    last_step: int
    """The step the stage ends with."""
    global_step: int
    """The step counted over the stages of the chain: it never falls."""


@runtime_checkable
class Sink(Protocol):
    """A place for statistics. Making one that cannot work raises; a later failure costs rows, not the run."""

    def commit(self, row: SinkRow, stats: Mapping[str, float]) -> None:
        """Write one row; called once per stage and step, with steps rising."""
        ...

    def close(self) -> None:
        """Write what is held back and let go of files; called once."""
        ...

"""What an evaluation is: the same held-out problems each time, solved with an engine's weights."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from burnish.platform.statistics.tracker import StatsTracker
from burnish.sample.engine import Engine


@runtime_checkable
class SampleWriter(Protocol):
    """Where rows of samples go, as `StageRun.samples` returns it."""

    def write(self, step: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append the rows of one step."""
        ...


@runtime_checkable
class Evaluation(Protocol):
    """What a loop evaluates with."""

    @property
    def num_problems(self) -> int:
        """The number of problems solved each time; without any it is never due."""
        ...

    @property
    def max_tokens(self) -> int:
        """Room an engine needs for the longest prompt and its completion, in tokens; 0 without problems."""
        ...

    def due(self, step: int, last: int) -> bool:
        """Whether `step` of `last` is evaluated; 0 and `last` are, so that stages can be compared."""
        ...

    def __call__(self, engine: Engine, step: int) -> StatsTracker:
        """Evaluate, write the samples as rows of `step`, and return the statistics under `eval/`."""
        ...

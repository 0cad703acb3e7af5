"""What a sink is: a place that takes one row of statistics per step, open from a run's start to its end.

The protocol of the component, what it is built from, and what it builds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from burnish.platform.configuration.component import fact
from burnish.platform.configuration.config import LoggingConfig
from burnish.platform.errors import ConfigError

Phase = Literal["complete", "interrupted", "stopped", "refused", "failed"]
"""How a run ends: as planned, by a signal, by a limit or a disk, by what the user can fix, or by a bug."""


@dataclass(frozen=True, kw_only=True)
class SinkContext:
    """What a sink may know of the run it serves."""

    directory: Path
    """The run's directory."""
    run_name: str
    """The directory's name; unique where all runs are written."""
    config: Mapping[str, Any]
    """Every option as plain values: what `config.yaml` holds."""
    logging: LoggingConfig
    """The options that all sinks share."""
    stages: tuple[str, ...]
    """The chain's stages by name, in order."""
    resumed_from: tuple[str, int | None] | None = None
    """Stage and step of the checkpoint that the run goes on from, step None at a stage's beginning; None for
    a run that starts."""


@dataclass(frozen=True, kw_only=True)
class SinkRow:
    """Which step a row belongs to."""

    stage: str
    """The stage's name in the chain."""
    step: int
    """The step within the stage; 0 is the state before the first update."""
    last_step: int
    """The step the stage ends with, unless it finishes early."""
    global_step: int
    """The step counted over the stages of the chain: it never falls."""


@dataclass(frozen=True)
class RunEnd:
    """How a run has ended, as `status.json` says it."""

    phase: Phase
    reason: str | None = None
    """One line; None where everything went as planned."""


@runtime_checkable
class Sink(Protocol):
    """A place for statistics. Making one that cannot work raises; a later failure costs rows, not the run.

    A sink that is `Stateful` takes part in checkpoints as `sink.<label>`. It is restored with the stage that
    a run goes on in; where that checkpoint does not have it, and at a stage's beginning, it starts anew.
    """

    def commit(self, row: SinkRow, stats: Mapping[str, float]) -> None:
        """Write one row; called once per stage and step, with steps rising, at most one step late."""
        ...

    def close(self, end: RunEnd) -> None:
        """Write what is held back and let go of files; called once, however the run ends."""
        ...


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What a model wrote at a step, as rows with the columns that are worth a glance."""

    stage: str
    step: int
    name: str
    """What they are: the file `samples/<name>.jsonl` has all of them."""
    rows: Sequence[Mapping[str, Any]]
    shown: Sequence[str]
    """Columns of the rows, in the order they are shown."""

    def is_of(self, other: "Samples") -> bool:
        """Whether they are of the stage and step of `other`."""
        return (self.stage, self.step) == (other.stage, other.step)


@runtime_checkable
class SupportsSamples(Protocol):
    """A sink that shows what a model writes."""

    def show(self, samples: Samples) -> None:
        """Show samples of a step, before its row is committed."""
        ...


@runtime_checkable
class SupportsLines(Protocol):
    """A sink that somebody reads while the run goes on."""

    def tell(self, line: str) -> None:
        """Show a line about the run."""
        ...


class SinkComponent(Protocol):
    """The options of a sink.

    What it writes in the run's directory under a name that is always the same it declares by a class
    attribute `writes`: no other sink of the run may write there. A class attribute `look_at` is what it
    leaves and where, a file of the run or a command with `{runs}`, to be printed at the run's end.
    """

    def build(self, context: SinkContext) -> Sink:
        """Return the sink, open; called once per run, by its primary process alone."""
        ...


def require_own_places(components: Mapping[str, SinkComponent]) -> None:
    """Raise ConfigError where two sinks of a run would write one file or directory of it."""
    writers: dict[str, str] = {}
    for label, component in components.items():
        place = fact(component, "writes", "")
        writer = writers.setdefault(place, label)
        if place and writer != label:
            raise ConfigError(
                f"logging.sinks.{label} would write '{place}' of the run, as logging.sinks.{writer} does; "
                f"take one away: logging.sinks.{label}=null"
            )

"""Hand each step's statistics to every sink, once."""

import logging
from collections.abc import Callable, Collection, Mapping

from burnish.platform.configuration.conformance import conforming
from burnish.platform.errors import DiskError
from burnish.platform.statistics.metric import rate_of, registered_metrics
from burnish.platform.statistics.run_metrics import STEP_SECONDS
from burnish.platform.statistics.sink import (
    RunEnd,
    Samples,
    Sink,
    SinkComponent,
    SinkContext,
    SinkRow,
    SupportsLines,
    SupportsSamples,
)

_log = logging.getLogger(__name__)


class StatsLogger:
    """Hand each step's statistics to every sink, once."""

    def __init__(self, sinks: Mapping[str, Sink], rates: Collection[str] = ()) -> None:
        """Take the sinks by label; they are open already, since one that cannot start is fatal.

        `rates` names the counts whose speed is recorded beside them.
        """
        self._sinks = sinks
        self._rates = rates
        self._failed: set[str] = set()
        self._last_steps: dict[str, int] = {}

    @property
    def sinks(self) -> Mapping[str, Sink]:
        """The sinks by label; those that are `Stateful` take part in checkpoints."""
        return self._sinks

    def commit(self, row: SinkRow, numbers: Mapping[str, float]) -> None:
        """Write one row to every sink.

        A sink that fails is warned about once and tried again at the next row; a disk that does not take a
        row ends the run. Raises `ValueError` when the step or a later one of its stage was committed before.
        """
        last = self._last_steps.get(row.stage, -1)
        if row.step == last:
            raise ValueError(f"step {row.step} of '{row.stage}' is committed twice: collect into one tracker")
        if row.step < last:
            raise ValueError(f"step {row.step} of '{row.stage}' is committed after step {last}: steps rise")
        self._last_steps[row.stage] = row.step
        numbers = {**numbers, **self._speeds(numbers)}
        self._each(lambda sink: sink.commit(row, numbers))

    def show(self, samples: Samples) -> None:
        """Hand samples of a step to the sinks that show them; failures are as those of `commit`."""
        self._each(lambda sink: sink.show(samples) if isinstance(sink, SupportsSamples) else None)

    def tell(self, line: str) -> None:
        """Hand a line about the run to the sinks that somebody reads; failures are as those of `commit`."""
        self._each(lambda sink: sink.tell(line) if isinstance(sink, SupportsLines) else None)

    def close(self, end: RunEnd) -> None:
        """Tell every sink how the run ended and close it, whatever becomes of the others."""
        for label, sink in self._sinks.items():
            try:
                sink.close(end)
            except Exception as error:  # noqa: BLE001 - as in commit
                self._warn(label, error)

    def _speeds(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """Return each count of a step by the step's seconds: nothing of it is left out."""
        seconds = numbers.get(STEP_SECONDS, 0.0)
        return {rate_of(name): numbers[name] / seconds for name in self._rates if name in numbers and seconds}

    def _each(self, call: Callable[[Sink], None]) -> None:
        for label, sink in self._sinks.items():
            try:
                call(sink)
            except DiskError:
                raise
            except Exception as error:  # noqa: BLE001 - a sink is a fault boundary: training outlives it
                self._warn(label, error)

    def _warn(self, label: str, error: Exception) -> None:
        if label not in self._failed:
            self._failed.add(label)
            _log.warning("logging.sinks.%s fails and misses rows: %s: %s", label, type(error).__name__, error)


def open_logger(components: Mapping[str, SinkComponent], context: SinkContext) -> StatsLogger:
    """Return a logger over the sinks of the run, each built from its component.

    One that cannot start ends the run, and those that were opened before it are told so.
    """
    rates = [metric.name for metric in registered_metrics() if metric.is_rate]
    sinks: dict[str, Sink] = {}
    for label, component in components.items():
        try:
            sinks[label] = conforming("sink", component, component.build(context), Sink)
        except BaseException as error:
            StatsLogger(sinks).close(RunEnd("refused", f"logging.sinks.{label} cannot start: {error}"))
            raise
    return StatsLogger(sinks, rates)

"""The terminal: a bar where there is one, lines by time where there is none, no long silence in either."""

import threading
import time
from collections.abc import Mapping, Sequence

from rich.console import Console

from burnish.platform.activity import Activity, activities
from burnish.platform.lasting_console import LastingConsole
from burnish.platform.statistics.metric import Metric, shown_metrics
from burnish.platform.statistics.sink import RunEnd, Samples, SinkRow
from burnish.platform.statistics.sinks.bar import Bar
from burnish.platform.statistics.sinks.heartbeat import Heartbeat
from burnish.platform.statistics.sinks.pace import Pace
from burnish.platform.statistics.sinks.samples_table import samples_table
from burnish.platform.statistics.summary import EVALUATION_SCOPE

LONGEST_SILENCE = 9.0
"""Seconds without a row or a word after which one is said; who looks every second does so within 10."""

WIDTH_OF_LINES = 120
"""Cells of a table where there is no terminal to say."""


class ConsoleSink:
    """Show the step, the metrics that are registered for it, the time to go, and what takes time.

    On a terminal every step moves the bar of its stage. Elsewhere a row is printed every
    `print_every_seconds`. With either, the first and last row of a stage and those of an evaluation are
    printed, with a few of its samples. A thread shows what the run is busy with where no row comes.
    """

    def __init__(
        self, *, print_every_seconds: float, print_samples: int = 0, console: Console | None = None
    ) -> None:
        """Print to `console`, by default standard output."""
        self._console = LastingConsole(soft_wrap=True) if console is None else console
        self._metrics = shown_metrics()
        self._every = print_every_seconds
        self._num_samples = print_samples
        self._width = self._console.width if self._console.is_terminal else WIDTH_OF_LINES
        self._samples: list[Samples] = []
        self._bar = Bar(self._console) if self._console.is_terminal else None
        self._row: SinkRow | None = None
        self._pace = Pace()
        self._row_printed = self._last_sign = time.perf_counter()
        self._lock = threading.RLock()
        self._heartbeat = Heartbeat(self.look)

    def commit(self, row: SinkRow, stats: Mapping[str, float]) -> None:
        """Show one step."""
        with self._lock:
            is_first = self._row is None or self._row.stage != row.stage
            if is_first:
                self._pace = Pace()
            self._row, self._last_sign = row, time.perf_counter()
            self._pace.add(row.step, stats)
            text = _described(self._metrics, stats, self._pace)
            if self._bar is not None:
                self._bar.step(row.stage, row.step, row.last_step, text, self._to_go(row))
            is_evaluated = any(name.startswith(EVALUATION_SCOPE) for name in stats)
            if is_first or is_evaluated or row.step == row.last_step or self._is_due():
                self._print_row(row, text)
            if is_evaluated:
                self._print_samples(row)

    def show(self, samples: Samples) -> None:
        """Keep some of the samples of a step until its row is printed."""
        with self._lock:
            self._samples = [*(kept for kept in self._samples if kept.is_of(samples)), samples]

    def tell(self, line: str) -> None:
        """Print a line about the run."""
        with self._lock:
            self._print(line)

    def look(self) -> None:
        """Say what the run is busy with: in the bar, or as a line where there was none for a while."""
        with self._lock:
            if not (going_on := activities()):
                return
            stage, activity = going_on[0], going_on[-1]
            row = self._row if self._row is not None and self._row.stage == stage.what else None
            if self._bar is not None:
                self._bar.wait(stage.what, row and row.step, row and row.last_step, activity)
            elif time.perf_counter() - self._last_sign >= LONGEST_SILENCE:
                self._print(_waiting(stage, activity, row))

    def close(self, end: RunEnd) -> None:  # noqa: ARG002 - the command says how the run ended
        """Take the bar away and give the cursor back."""
        self._heartbeat.stop()
        if self._bar is not None:
            self._bar.remove()

    def _is_due(self) -> bool:
        """Whether a row is printed where there is no bar: the next one would come too late."""
        next_one = time.perf_counter() + self._pace.seconds_per_step()
        return self._bar is None and next_one - self._row_printed >= self._every

    def _print_row(self, row: SinkRow, text: str) -> None:
        to_go = self._to_go(row) if self._bar is None else ""
        self._print("  ".join(filter(None, [f"{row.stage} {row.step}/{row.last_step}", text, to_go])))
        self._row_printed = time.perf_counter()

    def _to_go(self, row: SinkRow) -> str:
        return self._pace.to_go(row.last_step - row.step)

    def _print_samples(self, row: SinkRow) -> None:
        for samples in self._samples:
            if self._num_samples and (samples.stage, samples.step) == (row.stage, row.step):
                for line in samples_table(samples, self._num_samples, self._width):
                    self._print(line)
        self._samples = []

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False)
        self._last_sign = time.perf_counter()


def _waiting(stage: Activity, activity: Activity, row: SinkRow | None) -> str:
    """Return a line for a run that has no row to show: after which step, doing what, for how long."""
    where = stage.what if row is None else f"{stage.what} {row.step}/{row.last_step}"
    doing = "" if activity is stage else f"  {activity}"
    return f"{where}{doing}, {activity.seconds:.0f} s"


def _described(metrics: Sequence[Metric], stats: Mapping[str, float], pace: Pace) -> str:
    """Return the values worth a glance, then the speeds."""
    replaced = {name for metric in metrics if metric.name in stats for name in metric.replaces}
    values = [metric for metric in metrics if not metric.is_rate and metric.name not in replaced]
    parts = [f"{metric.label} {stats[metric.name]:.4g}" for metric in values if metric.name in stats]
    rates = [(metric.label, pace.per_second(metric.name)) for metric in metrics if metric.is_rate]
    return "  ".join([*parts, *(f"{rate:,.0f} {label}/s" for label, rate in rates if rate)])

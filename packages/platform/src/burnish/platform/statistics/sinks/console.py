"""The terminal: one progress bar per stage where there is a terminal, plain lines where there is none."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from burnish.platform.statistics.metric import Metric, shown_metrics
from burnish.platform.statistics.sink import RunEnd, SinkRow
from burnish.platform.statistics.summary import EVALUATION_SCOPE


class ConsoleSink:
    """Show the step, the metrics that are registered for it, and the time to go.

    On a terminal every step moves the bar of its stage; elsewhere a line is printed every
    `print_every_steps`, at the last step, and wherever there is an evaluation.
    """

    def __init__(self, print_every_steps: int, console: Console | None = None) -> None:
        """Print to `console`, by default standard output."""
        self._console = Console(soft_wrap=True) if console is None else console
        self._metrics = shown_metrics()
        self._every = print_every_steps
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._stage: str | None = None
        self._pace = _Pace()

    def commit(self, row: SinkRow, stats: Mapping[str, float]) -> None:
        """Show one step."""
        if row.stage != self._stage:
            self._begin(row)
        self._pace.add(row.step, stats)
        evaluated = any(name.startswith(EVALUATION_SCOPE) for name in stats)
        if self._progress is not None and self._task is not None:
            text = _described(self._metrics, stats, self._pace)
            self._progress.update(self._task, completed=row.step, text=text, refresh=True)
        if evaluated or (
            self._progress is None and (row.step % self._every == 0 or row.step == row.last_step)
        ):
            self._print(row, stats)
        if row.step == row.last_step:
            self._leave_bar()

    def close(self, end: RunEnd) -> None:  # noqa: ARG002 - the command says how the run ended
        """Leave the bar as it stands and give the cursor back."""
        self._leave_bar()

    def _leave_bar(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _begin(self, row: SinkRow) -> None:
        self._leave_bar()
        self._stage, self._pace = row.stage, _Pace()
        if not self._console.is_terminal:
            return
        # No refresh thread: it could raise where nobody catches it, and a step is when something changes.
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=self._console,
            auto_refresh=False,
        )
        self._task = self._progress.add_task(row.stage, total=row.last_step, completed=row.step, text="")
        self._progress.start()

    def _print(self, row: SinkRow, stats: Mapping[str, float]) -> None:
        remaining = self._pace.seconds_per_step() * (row.last_step - row.step)
        line = f"{row.stage} {row.step}/{row.last_step}  {_described(self._metrics, stats, self._pace)}"
        if remaining > 0 and self._progress is None:
            line += f"  {remaining:.0f} s to go"
        self._console.print(line.rstrip(), markup=False, highlight=False)


class _Pace:
    """Steps and sums per second since the first step seen, whose own compile time does not count."""

    def __init__(self) -> None:
        self._started = 0.0
        self._first_step: int | None = None
        self._steps = 0
        self._sums: dict[str, float] = defaultdict(float)

    def add(self, step: int, stats: Mapping[str, float]) -> None:
        """Count a step that has just ended."""
        if self._first_step is None:
            self._started, self._first_step = time.perf_counter(), step
            return
        self._steps = step - self._first_step
        for name, value in stats.items():
            self._sums[name] += value

    def seconds_per_step(self) -> float:
        """Return the mean duration of a step, 0 when too little is known."""
        return (time.perf_counter() - self._started) / self._steps if self._steps else 0.0

    def per_second(self, name: str) -> float:
        """Return the mean speed of a count, 0 when too little is known."""
        seconds = time.perf_counter() - self._started
        return self._sums[name] / seconds if self._steps and seconds > 0 else 0.0


def _described(metrics: Sequence[Metric], stats: Mapping[str, float], pace: _Pace) -> str:
    """Return the values worth a glance, then the speeds."""
    replaced = {name for metric in metrics if metric.name in stats for name in metric.replaces}
    values = [metric for metric in metrics if not metric.is_rate and metric.name not in replaced]
    parts = [f"{metric.label} {stats[metric.name]:.4g}" for metric in values if metric.name in stats]
    rates = [(metric.label, pace.per_second(metric.name)) for metric in metrics if metric.is_rate]
    return "  ".join([*parts, *(f"{rate:,.0f} {label}/s" for label, rate in rates if rate)])

"""What a run says on the terminal: what it is about to do, a table over its stages, and where all is."""

import shlex
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.table import Table

from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.component import fact
from burnish.platform.configuration.config import Config
from burnish.platform.device.mesh import describe_devices
from burnish.platform.lasting_console import LastingConsole
from burnish.platform.runs.resume import FRESH, StartingPoint
from burnish.platform.statistics.metric import shown_metrics
from burnish.platform.statistics.rows import Row
from burnish.platform.statistics.sink import SinkComponent
from burnish.platform.statistics.summary import ENDED_EARLY, EVALUATION_SCOPE, Summary

TITLE = "Held-out evaluation, the same problems each time"


def beginning(directory: Path, config: Config, start: StartingPoint) -> str:
    """Return one line: where the run is, its chain, what it goes on from, devices, number format, seed."""
    names = list(config.stages)
    chain = ", then ".join(names)
    if start != FRESH:
        after = "" if start.step is None else f" after step {start.step}"
        chain += f"; goes on with {names[start.stage_index - 1]}{after}"
    devices = describe_devices(config.jax.mesh)
    return f"{directory}: {chain}; {devices}, {config.jax.compute_dtype}, seed {config.run.seed}"


def print_summary(
    directory: Path,
    stages: Sequence[str],
    summary: Summary,
    artifacts: Artifacts,
    sinks: Iterable[SinkComponent] = (),
) -> None:
    """Print the evaluations before and after every stage, why stages ended early, and what is where."""
    console = LastingConsole(soft_wrap=True)
    evaluated = [name for name in _stages_told(stages, summary) if _columns(summary.get(name, {}))]
    if evaluated:
        console.print(_table(evaluated, summary))
    for name in stages:
        if reason := summary.get(name, {}).get(ENDED_EARLY):
            console.print(f"{name} {reason}", markup=False, highlight=False)
    console.print(f"run directory: {directory}", markup=False, highlight=False)
    for what, where in _places(directory, artifacts, sinks):
        console.print(f"  {what:<10} {where}", markup=False, highlight=False)


def print_plan(plans: Mapping[str, Mapping[str, int | float | str]]) -> None:
    """Print what each stage would do."""
    console = LastingConsole(soft_wrap=True)
    for name, plan in plans.items():
        table = Table("quantity", "value", title=f"stage {name}", title_justify="left")
        for key, value in plan.items():
            table.add_row(key, str(value) if isinstance(value, str) else f"{value:,}")
        console.print(table)


def _places(
    directory: Path, artifacts: Artifacts, sinks: Iterable[SinkComponent]
) -> Iterator[tuple[str, str]]:
    """Yield what a run has left and where: below its directory, or as the command that shows it."""
    for name, path in artifacts.directories.items():
        yield name, str(path.relative_to(directory)) if path.is_relative_to(directory) else str(path)
    yield "numbers", "summary.json"
    for sink in sinks:
        what, where = fact(sink, "look_at", ("", ""))
        if what:
            yield what, where.format(runs=shlex.quote(str(directory.parent)))
    if files := sorted((directory / "samples").glob("*.jsonl")):
        yield "samples", ", ".join(f"samples/{file.name}" for file in files)


def _table(names: Sequence[str], summary: Summary) -> Table:
    labels = {metric.name: str(metric.label) for metric in shown_metrics()}
    columns = _telling(names, summary, labels)
    titles = [labels.get(column, _spoken(column)) for column in columns]
    table = Table("", *titles, title=TITLE)
    for name in names:
        values = [_number(summary[name].get(column)) for column in columns]
        table.add_row(_time(name, summary), *values)
    return table


def _stages_told(stages: Sequence[str], summary: Summary) -> list[str]:
    """Return `initial` and the stages; without it where the first one has no update, as it is the same."""
    return list(stages) if _has_no_update(summary.get(stages[0], {})) else ["initial", *stages]


def _time(name: str, summary: Summary) -> str:
    if name == "initial":
        return "before training"
    return name if _has_no_update(summary[name]) else f"after {name}"


def _has_no_update(values: Row) -> bool:
    return values.get("step") == 0


def _spoken(column: str) -> str:
    return column.removeprefix(EVALUATION_SCOPE).replace("_", " ")


def _telling(names: Sequence[str], summary: Summary, kept: Container[str]) -> list[str]:
    """Return the evaluation's columns, less those that repeat one before them or are zero and not `kept`."""
    columns: dict[tuple[float | str | None, ...], str] = {}
    for column in dict.fromkeys(column for name in names for column in _columns(summary[name])):
        values = tuple(summary[name].get(column) for name in names)
        if any(values) or column in kept:
            columns.setdefault(values, column)
    return list(columns.values())


def _columns(values: Row) -> list[str]:
    """Return the evaluation's metrics, less the breakdowns below them."""
    return [name for name in values if name.startswith(EVALUATION_SCOPE) and name.count("/") == 1]


def _number(value: float | str | None) -> str:
    return "" if value is None else f"{float(value):.4g}"

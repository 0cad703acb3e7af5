"""What a run says on the terminal when it ends: one table over its stages, and where everything is."""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from burnish.platform.statistics.metric import shown_metrics
from burnish.platform.statistics.rows import Row
from burnish.platform.statistics.summary import ENDED_EARLY, EVALUATION_SCOPE, Summary

TITLE = "Held-out evaluation, the same problems each time"


def print_summary(directory: Path, stages: Sequence[str], summary: Summary) -> None:
    """Print the evaluations before and after every stage, why stages ended early, and the run's directory."""
    console = Console(soft_wrap=True)
    evaluated = [name for name in ("initial", *stages) if _columns(summary.get(name, {}))]
    if evaluated:
        console.print(_table(evaluated, summary))
    for name in stages:
        if reason := summary.get(name, {}).get(ENDED_EARLY):
            console.print(f"{name} {reason}", markup=False, highlight=False)
    console.print(f"run directory: {directory}", markup=False, highlight=False)


def print_plan(plans: Mapping[str, Mapping[str, int | float | str]]) -> None:
    """Print what each stage would do."""
    console = Console(soft_wrap=True)
    for name, plan in plans.items():
        table = Table("quantity", "value", title=f"stage {name}", title_justify="left")
        for key, value in plan.items():
            table.add_row(key, f"{value:,}" if isinstance(value, int) else str(value))
        console.print(table)


def _table(names: Sequence[str], summary: Summary) -> Table:
    labels = {metric.name: str(metric.label) for metric in shown_metrics()}
    columns = _telling(names, summary, labels)
    titles = [labels.get(column, _spoken(column)) for column in columns]
    table = Table("", *titles, title=TITLE)
    for name in names:
        values = [_number(summary[name].get(column)) for column in columns]
        table.add_row("before training" if name == "initial" else f"after {name}", *values)
    return table


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

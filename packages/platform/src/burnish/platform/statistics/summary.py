"""`summary.json`: the numbers before training, then each stage's last ones; always made from `metrics.jsonl`.

Because it is a pure function of the rows and of what ended stages early, a run killed between a stage's end
and its summary loses nothing.
"""

from collections.abc import Iterable, Mapping

from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.errors import ConfigError
from burnish.platform.statistics.rows import Row

Summary = Mapping[str, Row]
"""`initial` and stage names to metrics."""

EVALUATION_SCOPE = "eval/"
"""Names under this are measured on held-out data: before the first step, now and then, and at the end."""

MACHINE_SCOPES = ("time/", "perf/", "memory/", "compile/")
"""Names under these depend on the clock or the machine; all others are equal bit for bit after a resume."""

ENDED_EARLY = "ended_early"
"""Where a stage's summary says why it ended before its last step."""


def without_machine(row: Row) -> dict[str, float | str | None]:
    """Return a row without what depends on clock or machine."""
    return {key: value for key, value in row.items() if not key.startswith(MACHINE_SCOPES)}


def summarize(rows: Iterable[Row], ended_early: Mapping[str, str]) -> Summary:
    """Return `initial`, the evaluation before the first step, then each stage's latest values by its name.

    A stage's entry holds the last value of each metric, so an evaluation that is not due at the last step
    still stands there, and the reason of a stage in `ended_early`.
    """
    summary: dict[str, dict[str, float | str | None]] = {}
    for row in rows:
        values = {key: value for key, value in without_machine(row).items() if key != "stage"}
        if not summary:
            summary["initial"] = {
                key: value for key, value in values.items() if key.startswith(EVALUATION_SCOPE)
            }
        summary.setdefault(str(row["stage"]), {}).update(values)
    for stage, reason in ended_early.items():
        summary.setdefault(stage, {})[ENDED_EARLY] = reason
    return summary


def value_of(summary: Summary, metric: str) -> float:
    """Return the value that `run.sweep_metric` names: a metric of the last stage that has it.

    `sft/eval/accuracy` is that of the stage `sft`, and `initial/eval/accuracy` the one before training.

    Raises:
        ConfigError: no stage has recorded it as a number.
    """
    numbers = {
        f"{stage}/{name}": float(value)
        for stage, values in summary.items()
        for name, value in values.items()
        if isinstance(value, int | float)
    }
    of_stages = {
        key.partition("/")[2]: value for key, value in numbers.items() if not key.startswith("initial/")
    }
    found = of_stages.get(metric, numbers.get(metric))
    if found is None:
        names = sorted(of_stages)
        near = suggestion(metric, [*names, *numbers])
        raise ConfigError(
            f"run.sweep_metric={metric}: no stage has recorded it{near}; there are {', '.join(names)}"
        )
    return found

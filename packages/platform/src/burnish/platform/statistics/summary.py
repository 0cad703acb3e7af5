"""`summary.json`: the numbers before training, then each stage's last ones; always made from `metrics.jsonl`.

Because it is a pure function of the rows, a run killed between a stage's end and its summary loses nothing.
"""

from collections.abc import Iterable, Mapping

from burnish.platform.statistics.rows import Row

Summary = Mapping[str, Row]
"""`initial` and stage names to metrics."""

EVALUATION_SCOPE = "eval/"
"""Names under this are measured on held-out data: before the first step, now and then, and at the end."""

MACHINE_SCOPES = ("time/", "perf/", "memory/", "compile/")
"""Names under these depend on the clock or the machine; all others are equal bit for bit after a resume."""


def without_machine(row: Row) -> dict[str, float | str]:
    """Return a row without what depends on clock or machine."""
    return {key: value for key, value in row.items() if not key.startswith(MACHINE_SCOPES)}


def summarize(rows: Iterable[Row]) -> Summary:
    """Return `initial`, the evaluation before the first step, then each stage's latest values by its name.

    A stage's entry holds the last value of each metric, so an evaluation that is not due at the last step
    still stands there.
    """
    summary: dict[str, dict[str, float | str]] = {}
    for row in rows:
        values = {key: value for key, value in without_machine(row).items() if key != "stage"}
        if not summary:
            summary["initial"] = {
                key: value for key, value in values.items() if key.startswith(EVALUATION_SCOPE)
            }
        summary.setdefault(str(row["stage"]), {}).update(values)
    return summary

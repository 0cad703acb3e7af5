"""The table that ends a sweep: its runs, the words that differ, their values, and why some failed."""

import sys
from collections.abc import Collection, Sequence
from math import isnan
from pathlib import Path

from burnish.platform.runs.sweeps.records import JobRecord


def print_table(
    records: Sequence[JobRecord], sweep: Path, *, metric: str | None, swept: Collection[str], is_max: bool
) -> None:
    """Print a row per job, the best value first, without a value by number, and what went wrong below.

    How a job stands is in the place of the value that it does not have, and in a column of its own where no
    value is asked for and not all are complete.
    """
    reached = [record for record in records if record.phase != "not reached"]
    worth = metric or ("state" if any(record.phase != "complete" for record in records) else None)
    rows = [["run", *([worth] if worth else []), *_differing(reached, swept)]]
    for record in ranked(records, is_max=is_max):
        rows.append([_name(record), *([_value(record)] if worth else [])])
        rows[-1] += [record.values.get(key, "") for key in rows[0][len(rows[-1]) :]]
    order = f", {'highest' if is_max else 'lowest'} {metric} first" if metric else ""
    lines = [f"{len(reached)} of {len(records)} jobs{order}", *_aligned(rows)]
    lines += [f"job {record.job} {record.phase}: {record.reason}" for record in records if record.reason]
    here = Path.cwd()
    lines.append(f"sweep directory: {sweep.relative_to(here) if sweep.is_relative_to(here) else sweep}")
    sys.stdout.write("".join(f"{line}\n" for line in ["", *lines]))
    sys.stdout.flush()


def ranked(records: Sequence[JobRecord], *, is_max: bool) -> list[JobRecord]:
    """Return the jobs in the order of their values, those without one last."""

    def place(record: JobRecord) -> tuple[bool, float, int]:
        value = record.value
        if value is None or isnan(value):
            return True, 0.0, record.job
        return False, -value if is_max else value, record.job

    return sorted(records, key=place)


def _differing(records: Sequence[JobRecord], swept: Collection[str]) -> list[str]:
    """Return the keys of the words that are swept, or that not all jobs have alike, in their order."""
    keys = dict.fromkeys(key for record in records for key in record.values)
    return [key for key in keys if key in swept or len({record.values.get(key) for record in records}) > 1]


def _name(record: JobRecord) -> str:
    return record.run or f"job {record.job}"


def _value(record: JobRecord) -> str:
    state = "did not end" if record.phase == "running" else record.phase
    return state if record.value is None else f"{record.value:.4g}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]

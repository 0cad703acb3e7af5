"""The table that ends a sweep: its runs, the words that differ, their values, and why some failed."""

import sys
from collections.abc import Sequence
from math import isnan
from pathlib import Path

from burnish.platform.runs.sweeps.records import JobRecord


def print_table(
    records: Sequence[JobRecord], sweep: Path, *, num_jobs: int, metric: str | None, is_max: bool
) -> None:
    """Print a row per job, the best value first, without a value by number, and what went wrong below."""
    rows = [["run", *([metric] if metric else []), *_differing(records)]]
    for record in ranked(records, is_max=is_max):
        rows.append([_name(record), *([_value(record)] if metric else [])])
        rows[-1] += [record.values.get(key, "") for key in rows[0][len(rows[-1]) :]]
    order = f", {'highest' if is_max else 'lowest'} {metric} first" if metric else ""
    lines = [f"{len(records)} of {num_jobs} jobs{order}", *_aligned(rows)]
    lines += [f"job {record.job} {record.phase}: {record.reason}" for record in records if record.reason]
    lines += [f"job {record.job} did not end" for record in records if record.phase == "running"]
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


def _differing(records: Sequence[JobRecord]) -> list[str]:
    """Return the keys of the words that not all jobs have alike, in their order."""
    keys = dict.fromkeys(key for record in records for key in record.values)
    return [key for key in keys if len({record.values.get(key) for record in records}) > 1]


def _name(record: JobRecord) -> str:
    return record.run or f"job {record.job}"


def _value(record: JobRecord) -> str:
    return record.phase if record.value is None else f"{record.value:.4g}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]

"""What a sweep ends with: nothing where all jobs are done, else one line with what is to be done."""

import signal
from collections.abc import Sequence

from burnish.platform.errors import BurnishError, Interrupted, SweepError
from burnish.platform.runs.sweeps.plan import Plan
from burnish.platform.runs.sweeps.records import JobRecord


def raise_unfinished(plan: Plan, records: Sequence[JobRecord], ended: BaseException | None) -> None:
    """Raise what the sweep ends with, if it is not done.

    `ended` is what has come out of Hydra's sweeper; the records say what the jobs have come to.
    """
    again = [f"go on with: {plan.resume_command}"] if plan.resume_command else []
    if isinstance(ended, KeyboardInterrupt):
        notes = getattr(ended, "__notes__", ())
        at_once = ["interrupted at once", "nothing was saved beyond the last checkpoints"]
        raise Interrupted("; ".join([*at_once, *notes, *again]), signal.SIGINT) from ended
    stopped = [record for record in records if record.phase == "interrupted"]
    if stopped:
        where = "in" if stopped[0].run else "before"
        told = "; ".join([f"stopped by a signal {where} job {stopped[0].job}", *again])
        raise Interrupted(told, stopped[0].exit_status - 128) from ended
    failed = [record for record in records if record.phase == "failed"]
    lost = [record for record in records if record.phase == "running"]
    if failed or (lost and not isinstance(ended, BurnishError)):
        # A sweeper that decides by values gives up in words of its own where jobs have failed.
        cause = None if failed and not plan.knows_jobs else ended
        raise _unfinished(failed, lost, len(records), cause, again) from ended
    if ended is not None:
        raise ended


def _unfinished(
    failed: Sequence[JobRecord],
    lost: Sequence[JobRecord],
    num_jobs: int,
    cause: BaseException | None,
    again: Sequence[str],
) -> SweepError:
    """Return the error of jobs that are not done, which says what no job has said already."""
    said, statuses = list[str](), [record.exit_status for record in failed]
    if failed:
        said += [f"{len(failed)} of {num_jobs} jobs failed: {_numbers(failed)}", "the table says why"]
    if lost:
        said.append(f"jobs that did not end: {_numbers(lost)}")
        statuses.append(1)
    if isinstance(cause, BurnishError):
        said.append(str(cause))
        statuses.append(cause.exit_status)
    elif cause is not None:
        said.append(f"{type(cause).__name__}: {' '.join(str(cause).split())}")
        statuses.append(1)
    said += [f"once that is mended, {command}" if failed else command for command in again]
    return SweepError("; ".join(said), min(statuses))


def _numbers(records: Sequence[JobRecord]) -> str:
    return ", ".join(str(record.job) for record in records)

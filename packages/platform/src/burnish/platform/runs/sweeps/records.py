"""What each job of a sweep has come to: a file per job in the sweep's directory, whichever process ran it."""

import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from burnish.platform import atomic
from burnish.platform.errors import RunError
from burnish.platform.runs.records import read_record

DIRECTORY = "jobs"
"""Where the records are, in the directory of a sweep."""

_NAME = re.compile(r"\d+\.json")
_HALF = re.compile(r"\.\d+\.json\.writing")
_FIELDS = {"job": int, "words": list, "run": str, "output_dir": str, "phase": str, "exit_status": int}


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """One job, as it stands."""

    job: int
    """Hydra's number of it, from 0."""

    words: Sequence[str]
    """What it was composed of, as it can be typed."""

    run: str = ""
    """The directory of its run; empty until its config is known."""

    output_dir: str
    """The directory that Hydra gave it; empty when it is gone, since nothing was in it."""

    phase: Literal["running", "complete", "failed", "interrupted", "not reached"] = "running"
    """How it stands; no file says `not reached`, which is what the table calls a job without one."""

    value: float | None = None
    """What `run.sweep_metric` names."""

    reason: str | None = None
    """Why it failed, in one line."""

    exit_status: int = 0
    """What a command that runs this job alone ends with."""

    @property
    def values(self) -> dict[str, str]:
        """What each key of the words is set to."""
        return {key: value for key, _, value in (word.partition("=") for word in self.words)}


def write_record(sweep: Path, record: JobRecord) -> None:
    """Publish how a job stands."""
    content = json.dumps(asdict(record), indent=2) + "\n"
    atomic.publish_file(sweep / DIRECTORY / f"{record.job}.json", content.encode())


def read_records(sweep: Path) -> list[JobRecord]:
    """Return the jobs that have begun, by their numbers.

    Raises:
        RunError: a record is damaged.
    """
    paths = [path for path in (sweep / DIRECTORY).glob("*.json") if _NAME.fullmatch(path.name)]
    paths.sort(key=lambda path: int(path.stem))
    return [JobRecord(**read_record(path, _FIELDS, "delete it and run the sweep again")) for path in paths]


def refuse_foreign(sweep: Path) -> None:
    """Refuse a directory where files of somebody else have the place of the records, which a sweep removes.

    Raises:
        RunError: there are some.
    """
    place = sweep / DIRECTORY
    if place.is_dir():
        foreign = [
            path for path in place.iterdir() if not (_NAME.fullmatch(path.name) or _HALF.fullmatch(path.name))
        ]
    else:
        foreign = [place] if place.exists() else []
    if foreign:
        raise RunError(
            f"hydra.sweep.dir: '{min(foreign)}' is of no sweep, and has the place of what one records; "
            "set another hydra.sweep.dir"
        )


def forget_records(sweep: Path) -> None:
    """Remove what an earlier sweep in this directory has recorded."""
    atomic.remove(sweep / DIRECTORY)


def without_empty(record: JobRecord, sweep: Path) -> JobRecord:
    """Remove the directory that Hydra gave a job, and those around it, where nothing was written there.

    The record no longer names it then.
    """
    directory, top = Path(record.output_dir), Path(os.path.abspath(sweep))  # Hydra leaves no `..` in it
    with suppress(OSError):  # something is in it, or the disk takes nothing
        if directory.is_relative_to(top) and directory != top and not any(directory.iterdir()):
            record = replace(record, output_dir="")
            write_record(sweep, record)
            while directory != top:
                directory.rmdir()
                directory = directory.parent
    return record

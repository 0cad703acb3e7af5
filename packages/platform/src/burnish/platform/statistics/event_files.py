"""The event files of a run: what they are called, and how a run that goes back cuts them.

There is one per start and stage, so that each is written once, by one process, and only grows. What is in
them is known to the sink alone: a checkpoint remembers how large each was, and that much of it is kept.
"""

import re
import socket
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from burnish.platform import atomic

DIRECTORY = "tb"

_NAME = re.compile(r"events\.out\.tfevents\.(?P<seconds>\d{10})\..+\..+")
"""Time, host and stage; a host may have dots."""


def event_files(run: Path) -> list[Path]:
    """Return the event files below a run's directory in the order in which they were begun."""
    return sorted(path for path in (run / DIRECTORY).glob("events.*") if _NAME.fullmatch(path.name))


def new_event_file(run: Path, stage: str) -> Path:
    """Return where to begin the next event file: readers take it after those that are there.

    They go by the name, which holds the time in seconds: a second that is taken, or that a clock which was
    set back repeats, makes way for the next free one.
    """
    names = [_NAME.fullmatch(path.name) for path in event_files(run)]
    seconds = max([int(time.time()), *(int(name["seconds"]) + 1 for name in names if name)])
    return run / DIRECTORY / f"events.out.tfevents.{seconds:010}.{socket.gethostname()}.{stage}"


def event_cuts(
    run: Path, removed: Collection[str], kept: Collection[str], records: Mapping[str, int] | None
) -> list[Callable[[], None]]:
    """Return what cuts the event files back to a point of the run.

    Those of the stages in `removed` become empty. Those of the stages in `kept` keep as many bytes as
    `records` has under their path, none where it has none; without records they stay as they are. None is
    deleted: a TensorBoard that reads one would stop there.
    """
    cuts: list[Callable[[], None]] = []
    for path in event_files(run):
        if _is_of(path, removed):
            cuts.append(_cut(path, 0))
        elif _is_of(path, kept) and records is not None:
            cuts.append(_cut(path, records.get(path.relative_to(run).as_posix(), 0)))
    return cuts


def _is_of(path: Path, stages: Collection[str]) -> bool:
    return any(path.name.endswith(f".{stage}") for stage in stages)


def _cut(path: Path, size: int) -> Callable[[], None]:
    def cut() -> None:
        if path.is_file() and path.stat().st_size > size:
            atomic.shorten(path, size)

    return cut

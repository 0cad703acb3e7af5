"""What this process is busy with, so that whoever shows a run can tell it before there is a row.

There is one stack per process, as there is one device: anybody pushes onto it by `busy`, without a handle on
the run, and a sink reads it from a thread of its own.
"""

import time
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(eq=False)
class Activity:
    """Something that takes a while: what, since when, and how much of it is done."""

    what: str
    total: int | None = None
    """How many there are to do; None where that is not known."""
    done: int = 0
    started: float = field(default_factory=time.perf_counter)

    def advance(self, count: int = 1) -> None:
        """Count what has been done."""
        self.done += count

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.perf_counter() - self.started

    def __str__(self) -> str:
        """Return what is done, and how much of it."""
        return self.what if self.total is None else f"{self.what} {self.done:,}/{self.total:,}"


_stack: list[Activity] = []


@contextmanager
def busy(what: str, total: int | None = None) -> Generator[Callable[[int], None]]:
    """Say in the `with` block what takes time, in a verb; yields what counts those that are done.

    with busy("tokenize", len(records)) as advance:
        for record in records:
            ...
            advance(1)
    """
    activity = begin(what, total)
    try:
        yield activity.advance
    finally:
        end(activity)


def followed(what: str, items: Collection[T]) -> Iterator[T]:
    """Yield the items, and say of `what` how many are done."""
    with busy(what, len(items)) as advance:
        for item in items:
            yield item
            advance(1)


def begin(what: str, total: int | None = None) -> Activity:
    """Say that something begins; whoever calls this calls `end` with what it returns."""
    activity = Activity(what, total)
    _stack.append(activity)
    return activity


def end(activity: Activity) -> None:
    """Say that it is over, in whatever thread."""
    if activity in _stack:
        _stack.remove(activity)


def activities() -> tuple[Activity, ...]:
    """Return what goes on, the widest first."""
    return tuple(_stack)

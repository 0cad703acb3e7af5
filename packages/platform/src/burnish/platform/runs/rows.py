"""The rows of one stage: kept while a device computes their numbers, written in the order of steps.

Reading a number waits for the step that computes it. A row is therefore read when the next step's work has
been handed to the device, and the limits that look at it are asked then: the host prepares a step while the
device works on the one before.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from burnish.platform.activity import busy
from burnish.platform.device.compiles import CompileCounter
from burnish.platform.device.memory import peak_memory_bytes
from burnish.platform.statistics.logger import StatsLogger
from burnish.platform.statistics.sink import SinkRow
from burnish.platform.statistics.tracker import StatsTracker

COMPUTING = "compute"
"""What a run does while the host waits for the device."""

Look = Callable[[], str | None]
"""A limit's look at one step, which may wait for the step; returns the reason to stop, or None."""


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """The row of the last committed step; `stats` is None once it is written."""

    row: SinkRow
    stats: StatsTracker | None
    machine: Mapping[str, float]
    looks: Sequence[Look]


class StageRows:
    """Write one row per step; at most the last one waits."""

    def __init__(self, logger: StatsLogger) -> None:
        """Begin before the first step."""
        self._logger = logger
        self._compiles = CompileCounter()
        self._started = 0.0
        self._late = 0.0
        """Seconds that a sink took for a row after that row's clock was read."""
        self._waiting: _Waiting | None = None
        self._numbers: Mapping[str, float] = {}

    @property
    def numbers(self) -> Mapping[str, float]:
        """The numbers of the row written last: of the last committed one once it is settled."""
        return self._numbers

    @property
    def is_settled(self) -> bool:
        """Whether every committed row is written and every limit has looked at it."""
        return self._waiting is None

    def begin_step(self) -> None:
        """Start the step's clock."""
        self._started = time.perf_counter()

    def commit(
        self, row: SinkRow, stats: StatsTracker, looks: Sequence[Look], *, at_once: bool
    ) -> str | None:
        """Settle the row before and take this one; return the reason to stop that a limit gave, or None.

        The row is written here where its numbers are ready, and it is settled here where it must be
        `at_once`; otherwise it waits for the next call.
        """
        reason = self.settle()
        is_written = at_once or stats.is_ready
        numbers = _read(stats) if is_written else {}  # waits, so that the clock counts it
        self._waiting = _Waiting(
            row=row, stats=None if is_written else stats, machine=self._machine(), looks=looks
        )
        if is_written:
            read = time.perf_counter()
            self._write(self._waiting, numbers)
            self._late = time.perf_counter() - read
        return reason or (self.settle() if at_once else None)

    def settle(self) -> str | None:
        """Write the row that waits, if any, and return the first reason to stop that its limits give."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return None
        if waiting.stats is not None:
            self._write(waiting, _read(waiting.stats))
        with busy(COMPUTING):
            return next((reason for look in waiting.looks if (reason := look())), None)

    def _write(self, waiting: _Waiting, numbers: Mapping[str, float]) -> None:
        self._numbers = {**numbers, **waiting.machine}
        self._logger.commit(waiting.row, self._numbers)

    def _machine(self) -> dict[str, float]:
        compiles, seconds = self._compiles.read()
        late, self._late = self._late, 0.0
        return {
            "time/step_seconds": time.perf_counter() - self._started + late,
            "compile/count": float(compiles),
            "compile/seconds": seconds,
            "memory/peak_bytes": float(peak_memory_bytes()),
        }


def _read(stats: StatsTracker) -> dict[str, float]:
    with busy(COMPUTING):
        return stats.summary()

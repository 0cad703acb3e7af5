"""How fast a stage goes: its steps and counts per second, and how long it will take."""

import time
from collections import defaultdict
from collections.abc import Mapping


class Pace:
    """Steps and sums per second since the end of the first update seen, which compiles and does not count.

    Step 0 has no update.
    """

    def __init__(self) -> None:
        """Begin before the first step."""
        self._started = 0.0
        self._first_step: int | None = None
        self._steps = 0
        self._sums: dict[str, float] = defaultdict(float)

    def add(self, step: int, stats: Mapping[str, float]) -> None:
        """Count a step that has just ended."""
        if step == 0:
            return
        if self._first_step is None:
            self._started, self._first_step = time.perf_counter(), step
            return
        self._steps = step - self._first_step
        for name, value in stats.items():
            self._sums[name] += value

    def seconds_per_step(self) -> float:
        """Return the mean duration of a step, 0 when too little is known."""
        return (time.perf_counter() - self._started) / self._steps if self._steps else 0.0

    def to_go(self, steps: int) -> str:
        """Return how long as many steps will take, in words; nothing where too little is known."""
        seconds = round(self.seconds_per_step() * steps)
        if seconds < 1:
            return ""
        hours, minutes = divmod(seconds // 60, 60)
        if hours:
            return f"{hours} h {minutes:02} min to go"
        return f"{minutes} min {seconds % 60:02} s to go" if minutes else f"{seconds} s to go"

    def per_second(self, name: str) -> float:
        """Return the mean speed of a count, 0 when too little is known."""
        seconds = time.perf_counter() - self._started
        return self._sums[name] / seconds if self._steps and seconds > 0 else 0.0

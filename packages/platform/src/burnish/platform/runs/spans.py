"""Parts of a stage that take time, by name: counted in its rows, shown on the console, seen in profiles."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from burnish.platform.activity import busy
from burnish.platform.statistics.tracker import StatsTracker


class Spans:
    """The seconds of named blocks since they were taken last."""

    def __init__(self) -> None:
        """Begin without any."""
        self._tracker = StatsTracker()

    @contextmanager
    def span(self, name: str) -> Generator[None]:
        """Add a block's seconds to `time/<name>_seconds`."""
        import jax

        started = time.perf_counter()
        try:
            with jax.profiler.TraceAnnotation(name), busy(name):
                yield
        finally:  # counted where it ends, whatever was taken meanwhile
            self._tracker.sum(f"time/{name}_seconds", time.perf_counter() - started)

    def take(self) -> StatsTracker:
        """Return what was counted, and count anew."""
        taken, self._tracker = self._tracker, StatsTracker()
        return taken

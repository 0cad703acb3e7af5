"""Parts of a stage that take time, by name: counted in its rows, shown on the console, seen in profiles."""

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

        with self._tracker.timing(name), jax.profiler.TraceAnnotation(name), busy(name):
            yield

    def take(self) -> StatsTracker:
        """Return what was counted, and count anew."""
        taken, self._tracker = self._tracker, StatsTracker()
        return taken

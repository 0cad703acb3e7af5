"""A thread that looks in every second, for what has to be shown while the run's own thread works."""

import threading
from collections.abc import Callable

SECONDS = 1.0
"""Between two looks."""


class Heartbeat:
    """Call `look` every second until it is stopped; a look that raises is the last one."""

    def __init__(self, look: Callable[[], None]) -> None:
        """Start the thread; it keeps no process alive."""
        self._look = look
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="burnish-console", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more, and wait for a look that has begun."""
        self._stopped.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stopped.wait(SECONDS):
            try:
                self._look()
            except Exception:  # noqa: BLE001 - a terminal that is gone is told of where a row is shown
                return

"""What can be done about a reward that does not end: say so while it runs, and keep no process for it."""

import queue
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar, cast

from rich.console import Console

Result = TypeVar("Result")


@contextmanager
def told_when_overdue(name: str, timeout_seconds: float) -> Generator[None]:
    """Say on stderr that a reward has run for longer than its timeout while the block still runs."""
    line = (
        f"reward '{name}' has run for more than {timeout_seconds:g} seconds and is waited for; "
        "two signals (Ctrl-C twice) end the run"
    )

    def say() -> None:
        Console(stderr=True, soft_wrap=True).print(line, markup=False, highlight=False)

    timer = threading.Timer(timeout_seconds, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def in_daemon_thread(function: Callable[[], Result]) -> Result:
    """Return what a function returns in a thread that neither a signal nor the process's end waits for."""
    ended: queue.Queue[tuple[Result | None, BaseException | None]] = queue.Queue(1)

    def call() -> None:
        try:
            ended.put((function(), None))
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            ended.put((None, error))

    threading.Thread(target=call, name="reward", daemon=True).start()
    result, error = ended.get()
    if error is not None:
        raise error
    return cast("Result", result)

"""Signals as a request to stop after the step at hand: the first one sets a mark, the loop looks at it.

A second signal while the first waits is taken at once, so nobody has to reach for SIGKILL. Python delivers
signals to the main thread alone: a run in another thread leaves them to whoever owns the process.
"""

import os
import signal
import threading
from contextlib import suppress
from types import FrameType, TracebackType


class Interrupts:
    """Hold the first SIGTERM, SIGINT or SIGHUP of a `with` block as `pending`; let the second one through.

    A signal that the process ignores, as `nohup` makes it ignore SIGHUP, stays ignored.
    """

    def __init__(self) -> None:
        self.pending: int | None = None
        self._previous: dict[int, signal.Handlers | int | None] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_IGN:
                continue
            self._previous[number] = signal.signal(number, self._note)  # type: ignore[assignment]  # typeshed unions a callable in
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature is signal's
        self.pending = number
        self._restore()
        # `print` could be the very call that was interrupted, and the terminal that hung up is gone.
        with suppress(OSError):
            os.write(2, b"\nstopping after the step at hand, which is saved; a second signal stops at once\n")

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

"""Signals as a request to stop after the step at hand: the first one sets a mark, the loop looks at it.

A second signal while the first waits is taken at once, so nobody has to reach for SIGKILL: in a command it
ends the process, also while that compiles; elsewhere, as in a notebook, it goes to whoever had it before.
Python delivers signals to the main thread alone: a run in another thread leaves them to whoever owns the
process.
"""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, ClassVar

from burnish.platform.signals import SIGNALS, Handler, say

TOGETHER_SECONDS = 1.0
"""What comes this soon after the first is the same request: a launcher such as `uv run` passes on what has
reached the process already."""


class Interrupts:
    """Hold the first SIGTERM, SIGINT or SIGHUP of a `with` block as `pending`; let the second one through.

    Of blocks in one another the outermost holds it for all. A signal that the process ignores, as `nohup`
    makes it ignore SIGHUP, stays ignored.
    """

    outermost: ClassVar["Interrupts | None"] = None
    """Whoever holds the signals of this process; None where nobody does."""

    def __init__(self, again: str | None = None) -> None:
        """Take the command that goes on, for the line of a second signal."""
        self._again = f"; go on with: {again}" if again else ""
        self._pending: int | None = None
        self._since = 0.0
        self._holder = self
        self._previous: dict[int, Any] = {}

    @property
    def pending(self) -> int | None:
        """The number of the signal that waits, None where there is none."""
        return self._holder._pending

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is not threading.main_thread():
            return self
        if Interrupts.outermost is not None:
            self._holder = Interrupts.outermost
            return self
        for number in SIGNALS:
            own = signal.getsignal(number)
            if own not in (signal.SIG_IGN, None):
                self._previous[number] = own
                signal.signal(number, Handler(self._act) if isinstance(own, Handler) else self._note)
        Interrupts.outermost = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if Interrupts.outermost is self:
            Interrupts.outermost = None
            self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature is signal's
        self._act(number, "")

    def _act(self, number: int, note: str) -> None:  # noqa: ARG002 - what a handler takes
        if self._pending is None:
            self._pending, self._since = number, time.monotonic()
            if threading.current_thread() is threading.main_thread():
                self._restore()
            say("stopping after the step at hand, which is saved; a second signal stops at once")
        elif time.monotonic() - self._since >= TOGETHER_SECONDS:
            previous = self._previous.get(number)
            if isinstance(previous, Handler):
                previous.act(number, f"; nothing is saved beyond the last checkpoint{self._again}")

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


def pending_signal() -> int | None:
    """Return the signal that waits in this process, None where there is none."""
    return None if Interrupts.outermost is None else Interrupts.outermost.pending

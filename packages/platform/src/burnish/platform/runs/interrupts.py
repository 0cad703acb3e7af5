"""Signals as a request to stop after the step at hand: the first one sets a mark, the loop looks at it.

A second signal while the first waits is taken at once, so nobody has to reach for SIGKILL: in a command it
ends the process, also while that compiles; elsewhere, as in a notebook, it goes to whoever had it before.
Python delivers signals to the main thread alone: a run in another thread leaves them to whoever owns the
process.
"""

import signal
import threading
from types import TracebackType
from typing import ClassVar

from burnish.platform.signals import SIGNALS, Handler, say


class Interrupts:
    """Hold the first SIGTERM, SIGINT or SIGHUP of a `with` block as `pending`; let the second one through.

    Of blocks in one another the outermost holds it for all. A signal that the process ignores, as `nohup`
    makes it ignore SIGHUP, stays ignored.
    """

    outermost: ClassVar["Interrupts | None"] = None
    """Whoever holds the signals of this process; None where nobody does."""

    def __init__(self) -> None:
        self._pending: int | None = None
        self._holder = self
        self._previous: dict[int, signal.Handlers | int | None] = {}

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
        Interrupts.outermost, handler = self, Handler(self._act)
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, handler)  # type: ignore[assignment]  # typeshed unions a callable in
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if Interrupts.outermost is self:
            self._restore()
            Interrupts.outermost = None

    def _act(self, number: int, note: str) -> None:  # noqa: ARG002 - what a handler takes
        if self._pending is None:
            self._pending = number
            if threading.current_thread() is threading.main_thread():
                self._restore()
            say("stopping after the step at hand, which is saved; a second signal stops at once")
        elif isinstance(previous := self._previous.get(number), Handler):
            previous.act(number, "; nothing is saved beyond the last checkpoint")

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


def pending_signal() -> int | None:
    """Return the signal that waits in this process, None where there is none."""
    return None if Interrupts.outermost is None else Interrupts.outermost.pending

"""Signals that ask a process to end: taken from its first instant on, and heard while C code works.

Python runs a signal's handler in the main thread, between two instructions. So nothing is heard while that
thread compiles, and an exception that a handler raises comes out wherever the thread happens to be: in the
import of an extension it becomes an `ImportError`, in a callback of the garbage collector it is lost, in C++
it aborts. Therefore nothing is raised here. As long as nobody holds signals there is nothing to save, so a
command says one line and leaves by `os._exit`, which needs no import to end and no lock to be free. Whoever
has something to save puts a `Handler` of its own in place (`runs/interrupts.py`). A thread calls it as soon
as a signal comes: it reads what the interpreter's own C handler writes.
"""

import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Those that ask a process to end."""


class Handler:
    """A handler of signals that takes a number and what is to be said besides, in whatever thread.

    `act` raises nothing.
    """

    def __init__(self, act: Callable[[int, str], None]) -> None:
        """Take what is to be done."""
        self.act = act

    def __call__(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature is signal's
        """Act, unless the thread that listens has heard of the signal already."""
        if not _listener.is_listening():
            self.act(number, "")


def end_at_signals(command: str) -> None:
    """From now on end this process by the first signal, with the status 128 + n and a line of the command's.

    A signal that the process ignores, as `nohup` makes it ignore SIGHUP, stays ignored. To be called once, in
    the main thread.
    """
    handler = Handler(partial(_end, command))
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)
    _listener.begin()


def say(line: str) -> None:
    """Write a line to standard error, in place of a bar; nothing where it is gone.

    `print` could be the very call that a signal has interrupted.
    """
    with suppress(OSError):
        os.write(2, f"{_ERASE if os.isatty(2) else ''}{line}\n".encode())


@contextmanager
def removed_at_end(directories: Sequence[Path]) -> Generator[None]:
    """Remove directories, the last first and as far as they are empty, if a signal ends the process here."""
    _removed.extend(directories)
    try:
        yield
    finally:
        del _removed[len(_removed) - len(directories) :]


_removed: list[Path] = []
_ERASE = "\r\x1b[2K"
_SHOW_CURSOR = "\x1b[?25h"
_ending = threading.Lock()


def _end(command: str, number: int, note: str) -> None:
    """End this process, its terminal as it was; of two threads that are told to, one does."""
    if not _ending.acquire(blocking=False):
        return
    if os.isatty(1):
        with suppress(OSError):
            os.write(1, f"{_ERASE}{_SHOW_CURSOR}".encode())
    for directory in reversed(_removed):
        with suppress(OSError):
            directory.rmdir()
    say(f"{command}: interrupted by {signal.Signals(number).name}{note}")
    os._exit(128 + number)


class _Listener:
    """A thread that hands each signal to its `Handler` as it comes, whatever the main thread does."""

    def __init__(self) -> None:
        self._descriptor: int | None = None

    def begin(self) -> None:
        """Start to listen; a forked child does not, as it would be its parent that hears."""
        reads, writes = os.pipe()
        os.set_blocking(writes, False)
        signal.set_wakeup_fd(writes)
        self._descriptor = writes
        threading.Thread(target=self._listen, args=(reads,), name="burnish-signals", daemon=True).start()
        os.register_at_fork(after_in_child=self._leave_to_parent)

    def is_listening(self) -> bool:
        """Whether signals are heard here; whoever has put a descriptor in the place of this one keeps it."""
        if self._descriptor is None:
            return False
        current = signal.set_wakeup_fd(self._descriptor)
        if current != self._descriptor:
            signal.set_wakeup_fd(current)
        return current == self._descriptor

    def _listen(self, descriptor: int) -> None:
        while number := os.read(descriptor, 1):
            handler = signal.getsignal(number[0])
            if isinstance(handler, Handler):
                handler.act(number[0], "")

    def _leave_to_parent(self) -> None:
        if self.is_listening():
            signal.set_wakeup_fd(-1)
        self._descriptor = None
        for number in SIGNALS:
            if isinstance(signal.getsignal(number), Handler):
                own = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
                signal.signal(number, own)


_listener = _Listener()

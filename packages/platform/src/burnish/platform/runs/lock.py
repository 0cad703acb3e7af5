"""The lock of a run's directory: one process writes it, whoever that process starts."""

import errno
import fcntl
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from weakref import WeakSet

from burnish.platform.errors import RunError

_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class RunLock:
    """Hold the file `lock` of a run's directory, from `acquire` to `release` or the end of this process.

    A forked child has the open file too, and would keep the lock when its parent has died: it lets go of it
    as it begins. What a child executes does not inherit it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; `RunError` where another process holds it or the file system has no locks."""
        descriptor = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._lock(descriptor)
            os.ftruncate(descriptor, 0)
            with suppress(OSError):  # a full disk: the lock is held, who holds it is not said
                os.write(descriptor, f"process {os.getpid()} on {os.uname().nodename}".encode())
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        _watch_forks()
        _HELD.add(self)

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            _HELD.discard(self)

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink == 0:
                raise BlockingIOError(errno.EWOULDBLOCK, "its holder has taken the directory back meanwhile")
        except BlockingIOError as error:
            owner = os.pread(descriptor, 1000, 0).decode(errors="replace").strip() or "another process"
            raise RunError(
                f"run.name: '{self._directory}' is being written by {owner}; wait for it, stop it, or set "
                "another run.name"
            ) from error
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            raise RunError(
                f"run.output_dir: the file system of '{self._directory}' has no locks ({error.strerror}), so "
                "nothing would keep a second process out; set run.output_dir to a file system with flock"
            ) from error


_HELD: WeakSet[RunLock] = WeakSet()


@cache
def _watch_forks() -> None:
    """See to it, once and for good, that what this process forks lets go of its locks."""
    os.register_at_fork(after_in_child=_let_go)


def _let_go() -> None:
    for lock in list(_HELD):
        lock.release()

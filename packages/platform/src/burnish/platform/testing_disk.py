"""A disk that tests can cut or fail at each operation, as seen by this process.

What Python does to files below one directory is counted: opening for writing, making, renaming and removing,
and truncating, by the interpreter's audit events, and writes and flushes by descriptor. What libraries write
in other languages is not seen; the operations around it are.
"""

import errno
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_EVENTS = {
    "open": (0, None),
    "os.mkdir": (0, 2),
    "os.rename": (1, 3),
    "os.remove": (0, 1),
    "os.rmdir": (0, 1),
    "os.truncate": (0, None),
}
"""Audit events, with where the path and the directory that it is relative to stand in their arguments."""
_FREEING = ("os.remove", "os.rmdir", "os.truncate")
_ROOM_BYTES = 1 << 15
_BY_DESCRIPTOR = ("write", "fsync")


class Died(BaseException):
    """The process is gone: nothing catches it."""


class WatchedDisk:
    """The operations below a directory while `watching`, by name and path, and what becomes of each.

    Paths with one of the parts in `unseen` are left alone: a library works there in threads of its own. Where
    there are parts in `counted`, operations at other paths have no number, and happen until one has struck.
    """

    def __init__(
        self, directory: Path, *, unseen: tuple[str, ...] = (), counted: tuple[str, ...] = ()
    ) -> None:
        """Watch below `directory`, which need not exist."""
        self._directory = directory.resolve()
        self._unseen = unseen
        self._counted = counted
        self._has_struck = False
        self._strike: Callable[[str, Path, int], None] | None = None
        self.operations: list[tuple[str, Path]] = []

    @contextmanager
    def watching(self, strike: Callable[[str, Path, int], None]) -> Generator[None]:
        """Call `strike` with name, path and number (from 0) before each operation; what it raises ends it."""
        originals = {name: getattr(os, name) for name in _BY_DESCRIPTOR}
        self.operations, self._strike, self._has_struck = [], strike, False
        _ACTIVE.append(self)
        _listen()
        for name, original in originals.items():
            setattr(os, name, self._by_descriptor(name, original))
        try:
            yield
        finally:
            for name, original in originals.items():
                setattr(os, name, original)
            _ACTIVE.remove(self)

    @contextmanager
    def only_watching(self) -> Generator[None]:
        """Let every operation happen."""
        with self.watching(lambda name, path, number: None):  # noqa: ARG005 - as `strike` is called
            yield

    @contextmanager
    def dying_at(self, number: int) -> Generator[list[bool]]:
        """Let operation `number` be the first that never happens, and none after it; say whether it was met.

        The half of what it would write is written, where it is a write.
        """
        died: list[bool] = []

        def strike(name: str, path: Path, at: int) -> None:  # noqa: ARG001 - of every kind and place
            if at >= number:
                died.append(True)
                raise Died

        with self.watching(strike), suppress(Died):
            yield died

    @contextmanager
    def failing_at(self, number: int, code: int, *, is_lasting: bool) -> Generator[None]:
        """Let operation `number` fail with an error of the system, and those after it where it is lasting.

        A full disk still removes files, and takes others again once a large one is gone.
        """
        has_room = False

        def strike(name: str, path: Path, at: int) -> None:
            nonlocal has_room
            if code == errno.ENOSPC and name in _FREEING:
                has_room = has_room or (path.is_file() and path.stat().st_size >= _ROOM_BYTES)
            elif at == number or (at > number and is_lasting and not has_room):
                raise OSError(code, os.strerror(code), str(path))

        with self.watching(strike):
            yield

    def see(self, name: str, path: Path) -> None:
        """Count an operation, where it is one below the directory."""
        if not path.is_relative_to(self._directory) or any(part in path.parts for part in self._unseen):
            return
        name_in_run = str(path.relative_to(self._directory))
        is_counted = not self._counted or any(part in name_in_run for part in self._counted)
        if not is_counted and not self._has_struck:
            return
        number = len(self.operations)
        self.operations.append((name, path))
        assert self._strike is not None
        try:
            self._strike(name, path, number)
        except BaseException:
            self._has_struck = True
            raise

    def _by_descriptor(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def operation(descriptor: int, *arguments: Any) -> Any:
            try:
                self.see(name, _path_of(descriptor))
            except Died:
                if name == "write":
                    original(descriptor, arguments[0][: len(arguments[0]) // 2])
                raise
            # Nothing is flushed: a process dies here, and no power fails.
            return None if name == "fsync" else original(descriptor, *arguments)

        return operation


_ACTIVE: list[WatchedDisk] = []


@cache
def _listen() -> None:
    """Install the one audit hook of this process, which can never be removed."""
    sys.addaudithook(_heard)


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if not _ACTIVE or event not in _EVENTS:
        return
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITES):
        return
    path_at, directory_at = _EVENTS[event]
    path = _absolute(arguments[path_at], None if directory_at is None else arguments[directory_at])
    for disk in _ACTIVE:
        disk.see(event, path)


def _absolute(path: Any, directory: int | None) -> Path:
    if isinstance(path, int):
        return _path_of(path)
    name = os.fsdecode(path)
    return Path(os.path.abspath(name if directory in (None, -1) else _path_of(directory) / name))


def _path_of(descriptor: int) -> Path:
    if sys.platform == "darwin":
        import fcntl

        return Path(os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0")))
    return Path(os.readlink(f"/proc/self/fd/{descriptor}"))

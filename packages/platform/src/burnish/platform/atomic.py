"""Write, publish, remove and append what a run keeps, so that a crash leaves a whole thing or nothing of it.

A file or directory is written under a hidden name beside its own (`.<name>.writing`), flushed, and renamed
once complete; it is removed by renaming it first (`.<name>.removed`). What a process that died has left under
such names is deleted by `sweep` alone. A directory has one writer at a time: nothing is locked here.

Every operation on a disk is made by `perform`, so whoever counts, delays or fails them replaces that one
function. Libraries that write arrays do so inside a directory begun here, and are flushed with it.

What the disk does not take is a `DiskError` with the file's name, and nothing half written stays behind.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from burnish.platform.errors import BurnishError, DiskError

_WRITING = ".writing"
_REMOVED = ".removed"
_FOREIGN_ERROR = re.compile(r"os[ _]error(?:_code)?\W+(\d+)")
"""As safetensors says it, `(os error 28)`, and tensorstore, `[os_error_code='28']`."""

P = ParamSpec("P")
T = TypeVar("T")


def publish_file(path: Path, content: bytes) -> None:
    """Make `content` the file `path`: a reader meets what was there before or all of it."""
    with publishing_file(path) as write:
        write(content)


@contextmanager
def publishing_file(path: Path) -> Generator[Callable[[bytes], None]]:
    """Give a function that writes the file `path` piece by piece; it appears, whole, after the block."""
    make_directory(path.parent)
    aside = _hidden(path, _WRITING)
    with abandoning(path):
        with creating_file(aside) as write:
            yield write
        flush(aside)
        with naming(path):
            perform(os.replace, aside, path)
        flush(path.parent)


def begin_directory(path: Path) -> Path:
    """Return a new, empty directory to fill, which `publish_directory(path)` gives the name `path`."""
    make_directory(path.parent)
    aside = _hidden(path, _WRITING)
    with naming(path):
        _delete(aside)
        perform(os.mkdir, aside)
    return aside


def publish_directory(path: Path) -> None:
    """Flush what was begun for `path` and rename it into place; what was there before is deleted after it."""
    aside, before = _hidden(path, _WRITING), _hidden(path, _REMOVED)
    with naming(path):
        _flush_tree(aside)
        _delete(before)
        if os.path.lexists(path):
            perform(os.rename, path, before)
        try:
            perform(os.rename, aside, path)
        except OSError:
            if os.path.lexists(before):
                perform(os.rename, before, path)
            raise
        flush(path.parent)
        _delete(before)


@contextmanager
def publishing_directory(path: Path) -> Generator[Path]:
    """Give a new directory to fill, which is `path` after the block, or is gone where the block fails."""
    aside = begin_directory(path)
    with abandoning(path):
        yield aside
        publish_directory(path)


@contextmanager
def abandoning(path: Path) -> Generator[None]:
    """Delete what was begun for `path` where the block that fills it fails, as far as the disk lets us."""
    try:
        yield
    except Exception:
        with suppress(OSError):
            _delete(_hidden(path, _WRITING))
        raise


@contextmanager
def naming(path: Path) -> Generator[None]:
    """Turn an error of the system into a `DiskError` with the name of the file that the block writes.

    Also one that a library of another language tells in the message of an error of its own.
    """
    try:
        yield
    except BurnishError:
        raise
    except OSError as error:
        raise DiskError(_visible(path), error) from error
    except Exception as error:
        of_disk = error_of_disk(error)
        if of_disk is None:
            raise
        raise DiskError(_visible(path), of_disk) from error


def error_of_disk(error: BaseException) -> OSError | None:
    """Return the error of the system that an error of a library tells of, None where it tells of none."""
    number = _FOREIGN_ERROR.search(str(error))
    return None if number is None else OSError(int(number[1]), os.strerror(int(number[1])))


def remove(path: Path) -> None:
    """Remove a file or directory, if it is there: at once for every reader, then from the disk."""
    if not os.path.lexists(path):
        return
    trash = _hidden(path, _REMOVED)
    with naming(path):
        _delete(trash)
        perform(os.rename, path, trash)
        flush(path.parent)
    with suppress(OSError):  # it is removed; what stays of it is swept
        _delete(trash)


def unlink(path: Path) -> None:
    """Remove a file at once, for the room that it takes, if it is there."""
    with naming(path):
        if os.path.lexists(path):
            perform(os.unlink, path)


def sweep(directory: Path) -> None:
    """Delete what dead processes left anywhere below `directory`, which nobody else may be writing to."""
    for leftover in [path for path in directory.rglob(".*") if path.suffix in (_WRITING, _REMOVED)]:
        with naming(leftover):
            _delete(leftover)


def sweep_beside(path: Path) -> None:
    """Delete what dead processes left of `path` itself, which nobody else may be writing to."""
    for leftover in (_hidden(path, _WRITING), _hidden(path, _REMOVED)):
        with naming(leftover):
            _delete(leftover)


def make_directory(path: Path) -> list[Path]:
    """Make a directory and those above it that are missing, and put their names on the disk.

    Return what was missing, the outermost first.
    """
    if path.is_dir():
        return []
    made = make_directory(path.parent)
    with naming(path):
        try:
            perform(os.mkdir, path)
            made.append(path)
        except FileExistsError as error:
            if not path.is_dir():  # else somebody has made it meanwhile
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error
    flush(path.parent)
    return made


def take_back(made: list[Path]) -> None:
    """Remove what `make_directory` has made: the innermost with all in it, those above it where empty."""
    *above, path = made
    remove(path)
    with suppress(OSError):  # somebody else uses it by now
        for directory in reversed(above):
            perform(os.rmdir, directory)


def add_directory(path: Path) -> None:
    """Make a new directory inside one that was begun."""
    with naming(path):
        perform(os.mkdir, path)


def write_file(path: Path, content: bytes) -> None:
    """Write a file inside a directory that was begun."""
    with creating_file(path) as write:
        write(content)


@contextmanager
def creating_file(path: Path) -> Generator[Callable[[bytes], None]]:
    """Give a function that writes the file on, piece by piece; for content too large to hold at once."""
    with naming(path):
        file = perform(path.open, "wb", buffering=0)

    def write(content: bytes) -> None:
        with naming(path):
            _write(file.fileno(), content)

    with file:
        yield write


class AppendedFile:
    """A file that grows by whole pieces and is never written over; open until `close`."""

    def __init__(self, path: Path) -> None:
        """Open or make the file."""
        self._path = path
        with naming(path):
            self._file = perform(path.open, "ab", buffering=0)

    def append(self, content: bytes) -> None:
        """Put `content` at the end at once; when the disk does not take all of it, none of it stays."""
        descriptor = self._file.fileno()
        with naming(self._path):
            size = os.fstat(descriptor).st_size
            try:
                _write(descriptor, content)
            except OSError:
                perform(os.ftruncate, descriptor, size)
                raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def shorten(path: Path, size: int) -> None:
    """Keep the first `size` bytes of an appended file."""
    with naming(path):
        perform(os.truncate, path, size)
    flush(path)


def flush(path: Path) -> None:
    """Put a file, or the names in a directory, on the disk."""
    with naming(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            perform(os.fsync, descriptor)
        finally:
            os.close(descriptor)


def perform(operation: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Make one operation on the disk."""
    return operation(*arguments, **options)


def _hidden(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}{suffix}")


def _visible(path: Path) -> Path:
    """Return the path under the names that its parts have once they are published."""
    names = [
        name[1:].removesuffix(_WRITING) if name.startswith(".") and name.endswith(_WRITING) else name
        for name in path.parts
    ]
    return Path(*names)


def _write(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[perform(os.write, descriptor, left) :]


def _flush_tree(directory: Path) -> None:
    for parent, _, names in os.walk(directory):
        for name in [*names, "."]:
            flush(Path(parent) / name)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        perform(shutil.rmtree, path)
    elif os.path.lexists(path):
        perform(os.unlink, path)

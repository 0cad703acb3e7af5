"""Every error a user can meet, with the exit status it ends the process with.

An error under `BurnishError` is printed as one line: what, where, the legal values, the remedy. Anything
else is a bug of ours and keeps its traceback.
"""

import re
import signal
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

_OWN_OPTION = re.compile(r"[a-z]\w*(\.\w+)*(=|: )")
_RULER = "-----"


class BurnishError(Exception):
    """A condition the user can act on; its message is one line."""

    exit_status = 2


class ConfigError(BurnishError, ValueError):
    """A value, key or combination in the configuration that is not legal."""


class UnknownKeyError(ConfigError):
    """A key that stands for nothing in its place."""

    def __init__(self, message: str, key: str, legal: Sequence[str]) -> None:
        """Take the path of the key, and the keys there are in its place."""
        super().__init__(message)
        self.key, self.legal = key, legal


class RequiredError(ConfigError):
    """An option that has no default and no value."""


def line_of(error: BaseException) -> str:
    """Return what an error says and the notes it has taken on its way, in one line.

    A note that begins with a ruler is about the traceback: jax adds one to what is raised while it traces.
    """
    notes = (note for note in getattr(error, "__notes__", ()) if not note.startswith(_RULER))
    return " ".join("; ".join([str(error), *notes]).split())


@contextmanager
def placed(
    path: str, kind: type[ValueError] = ConfigError, *, at_top: Collection[str] = ()
) -> Generator[None]:
    """Put where a component stands in front of what a ConfigError, or an error of this kind, says.

    A component knows its options and not its place, so its messages begin with the option: `steps=0 is ...`
    becomes `stages.sft.steps=0 is ...`, and a message about the whole comes after a colon. What `at_top`
    names does not stand below the path, and messages that begin with it stay as they are.
    """
    try:
        yield
    except kind as error:
        message = " ".join(str(error).split())
        if re.split(r"\W", message, maxsplit=1)[0] in at_top:
            raise
        joint = "." if _OWN_OPTION.match(message) else ": "
        raise ConfigError(f"{path}{joint}{message}") from error


class ComponentError(BurnishError, LookupError):
    """A component that is unknown, claimed twice, or fails to import."""


class CheckpointError(BurnishError, ValueError):
    """A checkpoint or export that is missing, torn or altered."""


class DataError(BurnishError, ValueError):
    """A data file or record that cannot be used."""


class RunError(BurnishError, RuntimeError):
    """A run directory that is taken, locked or not writable."""


class SweepError(BurnishError, RuntimeError):
    """Jobs of a sweep that failed; the runs of the others are done."""

    def __init__(self, message: str, exit_status: int) -> None:
        """Take the exit status of the failed jobs: 1 where one of them was a bug."""
        super().__init__(message)
        self.exit_status = exit_status


class DiskError(RunError, OSError):
    """A file that the disk does not take: it is full, read-only or failing."""

    def __init__(self, path: Path, error: OSError) -> None:
        """Name the file, and say in the system's words what is wrong with it."""
        reason = error.strerror or str(error)
        super().__init__(f"cannot write '{path}': {reason}")
        self.filename, self.strerror, self.errno = str(path), reason, error.errno

    def __str__(self) -> str:
        """Return the message, which `OSError` would put together anew."""
        return str(self.args[0])


class OutOfMemoryError(BurnishError, MemoryError):
    """What is asked for does not fit the memory of this machine or its devices."""


class LimitExceeded(BurnishError, RuntimeError):  # noqa: N818 - the name says what happened, not that we failed
    """A limit stopped the run after saving: drifting weights, or updates that are not finite."""

    exit_status = 3


class Interrupted(BurnishError, RuntimeError):  # noqa: N818 - a signal is no error of the run
    """A signal stopped the run after saving."""

    def __init__(self, message: str, signal_number: int) -> None:
        """Keep the signal's number: the exit status is 128 plus it, as shells report it."""
        super().__init__(message)
        self.signal_number = signal.Signals(signal_number)
        self.exit_status = 128 + signal_number

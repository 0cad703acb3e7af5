"""What orbax and the libraries below it print of an error that they raise, too: the same, once more.

A save that fails is raised where it is waited for. Before and after that, orbax logs the traceback; asyncio
logs what other files met, which nobody asks for any more; and tensorstore, which would tell the event
loop how they ended, finds it closed. That much is kept from the terminal, and nothing else.
"""

import logging
import sys
import traceback
from functools import cache
from pathlib import Path

from burnish.platform import atomic

_UNFINISHED = ".orbax-checkpoint-tmp/"
"""In the path of every array that orbax is writing."""


@cache
def silence_echoes() -> None:
    """See to it, once and for good, that an error of a save is told by whoever waits for the save."""
    logging.getLogger("absl").addFilter(lambda record: not _is_logged_by_orbax(record))
    logging.getLogger("asyncio").addFilter(lambda record: not _is_of_another_file(record))
    otherwise = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if not _is_of_a_closed_loop(unraisable):
            otherwise(unraisable)

    sys.unraisablehook = hook


def _is_logged_by_orbax(record: logging.LogRecord) -> bool:
    return "orbax" in Path(record.pathname).parts and record.exc_info is not None


def _is_of_another_file(record: logging.LogRecord) -> bool:
    """Return whether the disk did not take what orbax, or tensorstore for it, was writing."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, OSError):
        frames = traceback.walk_tb(error.__traceback__)
        return any("orbax" in Path(frame.f_code.co_filename).parts for frame, _ in frames)
    return error is not None and _UNFINISHED in str(error) and atomic.error_of_disk(error) is not None


def _is_of_a_closed_loop(unraisable: "sys.UnraisableHookArgs") -> bool:
    """Return whether a thread that is none of Python's has called an event loop that is closed."""
    trace = unraisable.exc_traceback
    return (
        trace is not None
        and unraisable.object is None
        and str(unraisable.exc_value) == "Event loop is closed"
        and trace.tb_frame.f_code.co_name == "call_soon_threadsafe"
    )

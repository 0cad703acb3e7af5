"""Where somebody's reward is written, for a message that its author reads."""

import functools
import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CALLERS = tuple(str(Path(__file__).with_name(name)) for name in ("score.py", "by_columns.py"))
"""What calls a reward: an error passes through it, and does not begin there."""

MOST_LETTERS = 200
"""Letters of an error's message that are shown."""


def place_of(reward: Callable[..., Any]) -> str:
    """Return module and name of a function, or of an object's class, with file and line where it has them."""
    written: Any = inspect.unwrap(reward)
    while isinstance(written, functools.partial):
        written = inspect.unwrap(written.func)
    if not inspect.isroutine(written):
        written = type(written)
    name = f"{written.__module__}:{written.__qualname__}"
    code = getattr(written.__call__ if inspect.isclass(written) else written, "__code__", None)
    return name if code is None else f"{name}, {code.co_filename}:{code.co_firstlineno}"


def raised_by(error: BaseException) -> str:
    """Return an error's class, its message in one line, and the line of the reward's author it comes from.

    That is the innermost one in the file that is called; there is none where the call itself is refused.
    """
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename not in _CALLERS]
    own = [each for each in frames if each.filename == frames[0].filename]
    at = [f"({own[-1].filename}:{own[-1].lineno})"] if own else []
    message = " ".join(str(error).split())[:MOST_LETTERS]
    return " ".join([f"{type(error).__name__}:", *([message] if message else []), *at])

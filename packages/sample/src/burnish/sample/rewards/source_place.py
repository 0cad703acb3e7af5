"""Where somebody's reward is written, for a message that its author reads."""

import functools
import inspect
from collections.abc import Callable
from typing import Any


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

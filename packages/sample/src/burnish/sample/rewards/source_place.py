"""Where somebody's reward is written, for a message that its author reads."""

import inspect
from collections.abc import Callable
from typing import Any


def place_of(reward: Callable[..., Any]) -> str:
    """Return module and name of a function, or of an object's class, with file and line where it has them."""
    written = inspect.unwrap(reward) if inspect.isfunction(reward) else type(reward)
    name = f"{written.__module__}:{written.__qualname__}"
    code = getattr(written if inspect.isfunction(written) else written.__call__, "__code__", None)
    return name if code is None else f"{name}, {code.co_filename}:{code.co_firstlineno}"

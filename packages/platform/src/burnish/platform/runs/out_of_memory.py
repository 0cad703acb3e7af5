"""Memory that does not suffice, as numpy and XLA say it: where it ran out, and which options took it."""

import dataclasses
import re
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from burnish.platform.configuration.config import Config
from burnish.platform.configuration.options import options_of
from burnish.platform.configuration.parts import parts
from burnish.platform.errors import OutOfMemoryError
from burnish.platform.runs.supply import place

_LIBRARIES = {"numpy", "jax", "jaxlib", "optax", *sys.stdlib_module_names}
"""Whose code is not told: they allocate what somebody else asks for."""
_COUNTS_TIME = re.compile(r"(?:^|_)steps$|^max_skipped_|^log_")
"""Names of whole numbers that say how often something is done, which takes no memory."""
_NUM_SIZES = 3
_ADVICE = "a smaller model, fewer or shorter rows, or a machine with more memory"


class _Size(NamedTuple):
    """An option whose value is above its default, and how far."""

    ratio: float
    phrase: str


@contextmanager
def naming_sizes(config: Config, block: str) -> Generator[None]:
    """Turn an error of numpy or XLA for want of memory into one line with what a block could do with less."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OutOfMemoryError) or not _is_of_memory(error):
            raise
        said = str(error).partition("\n")[0].rstrip(".")
        largest = sorted(_sizes(config, block), reverse=True)[:_NUM_SIZES]
        lower = f"lower {', '.join(size.phrase for size in largest)}, or take" if largest else "take"
        raise OutOfMemoryError(
            f"stages.{block}: the memory does not suffice in {_place_of(error)}{said and f' ({said})'}; "
            f"{lower} {_ADVICE}"
        ) from error


def _is_of_memory(error: Exception) -> bool:
    from jax.errors import JaxRuntimeError  # pyright: ignore[reportUnknownVariableType] - no stubs

    is_of_device = isinstance(error, JaxRuntimeError) and str(error).startswith("RESOURCE_EXHAUSTED")
    return is_of_device or isinstance(error, MemoryError)


def _place_of(error: Exception) -> str:
    """Return the innermost function on the way to the error that is no library's."""
    place_of, trace = "python", error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        if module.partition(".")[0] not in _LIBRARIES:
            place_of = f"{module}.{trace.tb_frame.f_code.co_qualname}"
        trace = trace.tb_next
    return place_of


def _sizes(config: Config, block: str) -> Iterator[_Size]:
    """Yield the whole numbers of a block and its components that are above their defaults."""
    for part in parts(config.stages[block], f"stages.{block}", "stage"):
        if not dataclasses.is_dataclass(part.component):
            continue
        where = place(config, block, part)
        for name, option in options_of(type(part.component)).items():
            if _COUNTS_TIME.search(name):
                continue
            value: object = getattr(part.component, name)
            default: object = None if option.default is None else option.default()
            if type(value) is int and type(default) is int and value > default > 0:
                yield _Size(value / default, f"{where}.{name}={value} (default {default})")

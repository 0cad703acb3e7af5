"""What somebody's component builds, held against the protocol of its slot where it is built.

Names alone are compared: that a method is missing is said before the first step, and not at the first call.
"""

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any, TypeVar

from burnish.platform.configuration.registry import name_of
from burnish.platform.errors import ComponentError

Made = TypeVar("Made")


def conforming(slot: str, component: object, made: Made, protocol: type[Any]) -> Made:
    """Return what `component` has built; ComponentError names the members of `protocol` that it lacks.

    `made` may be the component itself, which its slot may ask for more than `build`.
    """
    lacking = [name for name, is_method in members(protocol) if not _has(made, name, is_method)]
    if lacking:
        builds = "" if made is component else f" builds a {type(made).__name__}, which"
        raise ComponentError(
            f"{slot} '{name_of(slot, component)}'{builds} lacks {', '.join(lacking)}; "
            f"write it as {protocol.__module__}:{protocol.__qualname__} says"
        )
    return made


def members(protocol: type[Any]) -> Iterator[tuple[str, bool]]:
    """Yield the name of each member that a protocol, or a dataclass, declares, and whether it is a method."""
    if dataclasses.is_dataclass(protocol):
        yield from ((field.name, False) for field in dataclasses.fields(protocol))
        return
    for owner in protocol.__mro__:
        for name, value in vars(owner).items():
            if isinstance(value, property):
                yield name, False
            elif inspect.isfunction(value) and value.__module__ == owner.__module__ != "typing":
                yield name, True


def _has(made: object, name: str, is_method: bool) -> bool:
    if name.startswith("__"):
        # By the class and its bases: every class can be called itself, whether or not its instances can.
        owners = (vars(owner) for owner in type(made).__mro__)
        return callable(next((owner[name] for owner in owners if name in owner), None))
    if is_method:
        return callable(getattr(made, name, None))
    found = inspect.getattr_static(made, name, _ABSENT)
    return found is not _ABSENT or getattr(made, name, _ABSENT) is not _ABSENT


_ABSENT = object()

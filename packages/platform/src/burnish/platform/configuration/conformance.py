"""What somebody's component builds, held against the protocol of its slot where it is built.

That a method is missing, or cannot be called as the slot calls it, is said before the first step and not at
the first call: with the component, the wheel it comes from, and the line of the protocol.
"""

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from burnish.platform.configuration.component import Component
from burnish.platform.configuration.declaration import declaration_of
from burnish.platform.configuration.registry import described, maker_of
from burnish.platform.errors import ComponentError

Made = TypeVar("Made")


def built(
    slot: str, component: Component, protocol: Callable[..., Made], *given: object, **named: object
) -> Made:
    """Return what `component` builds from what it is given; ComponentError where that is not `protocol`."""
    if not _accepts(component.build, len(given), list(named)):
        words = [f"{_noun(each)}: {type(each).__name__}" for each in given]
        keywords = ["*", *named] if named else []
        returned = "" if protocol is object else f" -> {protocol.__name__}"
        asked = f"def build(self, {', '.join([*words, *keywords])}){returned}"
        raise ComponentError(
            f"{described(slot, component)} has build{_signature(component.build)}, which cannot be called "
            f"with what its slot gives; write it as `{asked}`"
        )
    return conforming(slot, component, component.build(*given, **named), protocol)


def conforming(slot: str, component: object, made: Made, protocol: Callable[..., Any]) -> Made:
    """Return what `component` has built; ComponentError names the member of `protocol` that it breaks.

    `made` may be the component itself, which its slot may ask for more than `build`.
    """
    assert isinstance(protocol, type), "a protocol, or a dataclass"
    builds = "" if made is component else f" builds a {type(made).__name__}, which"
    found = list(members(protocol))
    lacking = [name for name, is_method in found if not _has(made, name, is_method)]
    if lacking:
        raise ComponentError(
            f"{described(slot, component)}{builds} lacks {', '.join(lacking)}; "
            f"{_remedy(protocol, lacking[0], len(lacking))}"
        )
    for name in (name for name, is_method in found if is_method):
        member = getattr(made, name)
        if not _accepts(member, *_call_of(protocol, name)):
            raise ComponentError(
                f"{described(slot, component)}{builds} has {name}{_signature(member)}, which cannot be "
                f"called as {protocol.__name__} is; {_remedy(protocol, name)}"
            )
    return made


def departure(slot: str, made: object, what: str, protocol: type[Any], member: str) -> ComponentError:
    """Return the error of something built that does `what` while it runs, and not what a member says."""
    name = made.__name__ if inspect.isfunction(made) else type(made).__name__
    return ComponentError(f"{slot} {name}{maker_of(made)} {what}; {_remedy(protocol, member)}")


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


def _remedy(protocol: type[Any], member: str, count: int = 1) -> str:
    more = "" if count == 1 else f" and {count - 1} more"
    told = f"{protocol.__module__}:{protocol.__qualname__}"
    return f"write it as {told} says: {declaration_of(protocol, member)}{more}"


def _call_of(protocol: type[Any], name: str) -> tuple[int, list[str]]:
    """Return how many arguments a method is given by position, and which by name, those optional too."""
    parameters = list(inspect.signature(getattr(protocol, name)).parameters.values())[1:]
    by_name = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
    return sum(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters), by_name


def _accepts(function: Callable[..., Any], num_given: int, named: list[str]) -> bool:
    """Whether a call would bind; True for what does not tell its parameters."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*[None] * num_given, **dict.fromkeys(named))
    except TypeError:
        return False
    return True


def _signature(function: Callable[..., Any]) -> str:
    """Return the parameters as their author named them, without annotations."""
    parameters = inspect.signature(function).parameters.values()
    bare = [one.replace(annotation=inspect.Parameter.empty) for one in parameters]
    return str(inspect.Signature(bare))


def _noun(given: object) -> str:
    """Return the last word of a type's name: `context` of an `EngineContext`, `run` of a `StageRun`."""
    return re.findall(r"[A-Z][a-z]*", type(given).__name__)[-1].lower()


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

"""What a component is: options that build the thing they describe, or a plain function."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from burnish.platform.errors import ConfigError

Fact = TypeVar("Fact")


class Component(Protocol):
    """Options that can be turned into the thing they describe."""

    @property
    def build(self) -> Callable[..., Any]:
        """Return what makes the thing from these options and the context of its slot."""
        ...


@dataclass(frozen=True)
class FunctionComponent:
    """A plain function as a component without options."""

    function: Callable[..., Any]

    def build(self, *_: Any, **options: Any) -> Callable[..., Any]:
        """Return the function, whatever the context of its slot; ConfigError where it is given an option."""
        if options:
            name = self.function.__name__
            raise ConfigError(f"{name}.{next(iter(options))}: '{name}' is a function and has no options")
        return self.function


def fact(component: object, name: str, default: Fact) -> Fact:
    """Return what a component says of itself by an attribute, `default` where it says nothing.

    A dataclass says it by a `ClassVar`, or a property where it follows from the options; a plain function by
    an attribute of its own.
    """
    said_by = component.function if isinstance(component, FunctionComponent) else component
    return getattr(said_by, name, default)


def source_of(component: object) -> object:
    """Return what a component's author has written: the dataclass, or the function."""
    return component.function if isinstance(component, FunctionComponent) else type(component)

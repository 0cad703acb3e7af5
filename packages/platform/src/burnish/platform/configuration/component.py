"""What a component is: options that build the thing they describe, or a plain function."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from burnish.platform.errors import ConfigError


class Component(Protocol):
    """Options that can be turned into the thing they describe."""

    @property
    def build(self) -> Callable[..., Any]:
        """Return what makes the thing from these options and its collaborators."""
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

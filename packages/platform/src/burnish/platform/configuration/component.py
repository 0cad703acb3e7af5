"""What a component is: options that build the thing they describe, or a plain function."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


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

    def build(self, *_: Any, **__: Any) -> Callable[..., Any]:
        """Return the function, whatever the context of its slot."""
        return self.function

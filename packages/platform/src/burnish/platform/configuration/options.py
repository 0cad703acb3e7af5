"""The options of a component: what its dataclass says of each field, read once and by everyone from here."""

import dataclasses
import sys
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple, get_type_hints

from burnish.platform.configuration.slot_fields import SlotField
from burnish.platform.errors import ComponentError

MISSING = "???"
"""How a required option reads until someone sets it."""


class Option(NamedTuple):
    """One field that a component is made with."""

    name: str
    slot: SlotField | None
    """What it says of the component it holds; None where it holds a value."""

    annotation: Any
    """The type of its value; nothing is read of what a slot is annotated with."""

    default: Callable[[], Any] | None
    """Makes the default; None where a value is required."""

    @property
    def is_section(self) -> bool:
        """Whether its value is a dataclass with options of its own."""
        return isinstance(self.annotation, type) and dataclasses.is_dataclass(self.annotation)


@cache
def options_of(component: type[Any]) -> Mapping[str, Option]:
    """Return the options of a dataclass by name, in their order.

    Raises:
        ComponentError: an annotation cannot be evaluated.
    """
    return {field.name: _option(component, field) for field in dataclasses.fields(component) if field.init}


def _option(component: type[Any], field: "dataclasses.Field[Any]") -> Option:
    declared: SlotField | None = field.metadata.get("burnish")
    annotation = _annotation(component, field) if declared is None else Any
    return Option(field.name, declared, annotation, _default(field))


def _default(field: "dataclasses.Field[Any]") -> Callable[[], Any] | None:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory
    return None if field.default is dataclasses.MISSING else lambda: field.default


def _annotation(component: type[Any], field: "dataclasses.Field[Any]") -> Any:
    """Evaluate one field's annotation alone; those of others may name what only type checkers know."""
    owner = next(base for base in component.__mro__ if field.name in vars(base).get("__annotations__", {}))
    holder = types.SimpleNamespace(__annotations__={field.name: field.type})
    try:
        hints = get_type_hints(holder, vars(sys.modules[owner.__module__]), include_extras=True)
    except NameError as error:
        raise ComponentError(
            f"option '{field.name}' of {owner.__module__}:{owner.__qualname__}: no such annotation "
            f"exists at run time: {error}; import it outside of TYPE_CHECKING"
        ) from error
    return hints[field.name]

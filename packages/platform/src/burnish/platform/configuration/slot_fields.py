"""What the fields of a component's dataclass declare: the slots they fill, and the types they hold."""

import dataclasses
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

from burnish.platform.configuration.component import FunctionComponent
from burnish.platform.configuration.registry import resolve
from burnish.platform.errors import ComponentError

MISSING = "???"
"""How a required option reads until someone sets it."""


@dataclass(frozen=True)
class SlotField:
    """What a dataclass field says about the component it holds."""

    kind: Literal["shared", "slot", "optional", "slots"]
    """One at the top for every stage that wants it, one of its own, one or None, several by label."""

    slot: str
    default: tuple[str, ...]


def shared(slot: str, default: str) -> Any:
    """Declare a field that holds the component at the top of the config, composed as `${<slot>}`."""
    return _field(SlotField("shared", slot, (default,)))


def slot(slot: str, default: str | None) -> Any:
    """Declare a field that holds a component of its own; with None as the default it may be empty."""
    return _field(SlotField("optional", slot, ()) if default is None else SlotField("slot", slot, (default,)))


def slots(slot: str, default: Sequence[str]) -> Any:
    """Declare a field that holds several components: a mapping from a label to a component."""
    return _field(SlotField("slots", slot, tuple(default)))


def slot_field(field: "dataclasses.Field[Any]") -> SlotField | None:
    """Return what the field declares, None where it holds an ordinary option."""
    return field.metadata.get("burnish")


def shared_slot(field: "dataclasses.Field[Any]") -> str | None:
    """Return the slot of a field declared with `shared`, None for any other."""
    declared = slot_field(field)
    return declared.slot if declared is not None and declared.kind == "shared" else None


def annotation_of(component: type[Any], field: "dataclasses.Field[Any]") -> Any:
    """Return a field's annotation as a type; others may name what only type checkers know.

    Raises:
        ComponentError: the annotation cannot be evaluated.
    """
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


def _field(declared: SlotField) -> Any:
    def default() -> Any:
        made = {name: default_component(declared.slot, name) for name in declared.default}
        return made if declared.kind == "slots" else next(iter(made.values()), None)

    return dataclasses.field(default_factory=default, metadata={"burnish": declared})


def default_component(slot: str, name: str) -> Any:
    """Return the component `name` with its default options."""
    found = resolve(slot, name)
    return found() if isinstance(found, type) else FunctionComponent(found)

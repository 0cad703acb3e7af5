"""How a field of a component's dataclass declares that it holds components: of which slot, and how many."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from burnish.platform.configuration.component import FunctionComponent
from burnish.platform.configuration.registry import resolve


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


def _field(declared: SlotField) -> Any:
    def default() -> Any:
        made = {name: default_component(declared.slot, name) for name in declared.default}
        return made if declared.kind == "slots" else next(iter(made.values()), None)

    return dataclasses.field(default_factory=default, metadata={"burnish": declared})


def default_component(slot: str, name: str) -> Any:
    """Return the component `name` with its default options."""
    found = resolve(slot, name)
    return found() if isinstance(found, type) else FunctionComponent(found)

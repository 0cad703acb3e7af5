"""The components within a component, and the artifacts that all of them need."""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from burnish.platform.configuration.component import fact
from burnish.platform.configuration.options import options_of


class Part(NamedTuple):
    """One component and where it stands."""

    path: str
    slot: str
    component: object

    @property
    def needs(self) -> frozenset[str]:
        """The artifacts that this component itself needs, those of its parts left out."""
        return frozenset(fact(self.component, "needs", frozenset[str]()))


def parts(component: object, path: str, slot: str) -> Iterator[Part]:
    """Yield a component and, below it, whatever its slots hold."""
    yield Part(path, slot, component)
    if not dataclasses.is_dataclass(component):
        return
    for name, option in options_of(type(component)).items():
        declared, held = option.slot, getattr(component, name)
        if declared is None or held is None:
            continue
        where = f"{path}.{name}"
        members = cast("dict[str, Any]", held) if declared.kind == "slots" else {"": held}
        for label, member in members.items():
            yield from parts(member, f"{where}.{label}".rstrip("."), declared.slot)


def needs_of(component: object) -> frozenset[str]:
    """Return the artifacts that a component and its parts need: the `needs` that their authors declared."""
    return frozenset[str]().union(*(part.needs for part in parts(component, "", "")))

"""Every number among the options states its range in its type."""

import dataclasses
from typing import Annotated, get_args, get_origin

import pytest

from burnish.platform.configuration.config import Sections
from burnish.platform.configuration.options import options_of
from burnish.platform.configuration.registry import available, known_slots, resolve


def has_bare_number(annotation):
    if get_origin(annotation) is Annotated:
        return False
    return annotation in (int, float) or any(map(has_bare_number, get_args(annotation)))


def numbers_without_a_range(component, path):
    for name, option in options_of(component).items():
        where = f"{path}.{name}"
        if option.is_section:
            yield from numbers_without_a_range(option.annotation, where)
        elif option.slot is None and has_bare_number(option.annotation):
            yield where


def components():
    yield "sections", Sections
    for slot in known_slots():
        for name in available(slot):
            found = resolve(slot, name)
            if isinstance(found, type):
                yield f"{slot} {name}", found


@pytest.mark.parametrize(("name", "component"), list(components()))
def test_every_number_states_its_range(name, component):
    assert not list(numbers_without_a_range(component, name))


def test_a_number_without_a_range_is_found():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Careless:
        size: int = 3
        rate: float | None = None

    assert list(numbers_without_a_range(Careless, "x")) == ["x.size", "x.rate"]

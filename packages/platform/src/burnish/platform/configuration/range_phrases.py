"""What is legal where a number is out of the range that its type states."""

import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from burnish.platform.configuration.ranges import LARGEST, SMALL

_SANE = (LARGEST, SMALL)
_KINDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number")


def is_out_of_range(kind: str) -> bool:
    """Say whether an error of pydantic is about a number's range."""
    return kind in _KINDS


def range_of(annotation: Any) -> str:
    """Return the range of an annotation's number in words without bounds of sanity; "" where it has none."""
    bounds = {name: _number(bound) for name, bound in _parts(annotation)[0].items() if bound not in _SANE}
    return _phrase(bounds)


def range_phrase(annotation: Any, error: Mapping[str, Any]) -> str:
    """Return the range that an annotation states, in words: `above 0 and below 1`, `1 or more, or 'all'`.

    A bound that only keeps counts sane is named to whoever has gone beyond it.
    """
    ranges, others = _parts(annotation)
    bounds = dict(ranges)
    if error["type"] != "less_than_equal" and bounds.get("le") in _SANE:
        del bounds["le"]
    phrase = _phrase({name: _number(bound) for name, bound in bounds.items()})
    if error["type"] == "finite_number":
        phrase = f"{phrase} and finite" if phrase else "a finite number"
    return ", or ".join([phrase, *others])


def _phrase(bounds: Mapping[str, str]) -> str:
    match bounds:
        case {"ge": least, "le": most}:
            return f"{least} to {most}"
        case {"ge": least, "lt": end}:
            return f"{least} to below {end}"
        case {"gt": end, **others}:
            return " and ".join([f"above {end}", *([_phrase(others)] if others else [])])
        case {"ge": least}:
            return f"{least} or more"
        case {"le": most}:
            return f"at most {most}"
        case {"lt": end}:
            return f"below {end}"
        case _:
            return ""


def _parts(annotation: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the bounds of an annotation's number, and what is legal beside a number."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _bounds(arguments[1:]), []
    if origin is Literal:
        return {}, [f"'{value}'" if isinstance(value, str) else str(value) for value in arguments]
    if annotation is type(None):
        return {}, ["null"]
    bounds: dict[str, Any] = {}
    others: list[str] = []
    is_union = origin in (Union, types.UnionType)
    for argument in arguments:
        of_argument, beside = _parts(argument)
        bounds |= of_argument
        others += beside if is_union else []
    return bounds, others


def _bounds(metadata: tuple[Any, ...]) -> dict[str, Any]:
    """Read what `Field(...)` holds, and what `annotated_types` says by itself."""
    stated = [each for one in metadata for each in getattr(one, "metadata", [one])]
    names = ("ge", "gt", "le", "lt")
    found = [(name, getattr(each, name, None)) for each in stated for name in names]
    return {name: bound for name, bound in found if bound is not None}


def _number(bound: Any) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)

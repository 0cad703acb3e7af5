"""Check one option's value against its annotation, strictly: no text for a number, no number for a flag."""

import json
import types
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.errors import ComponentError, ConfigError

PHRASES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}


def check(path: str, annotation: Any, value: Any) -> Any:
    """Return a plain value as the annotation's type; ConfigError says where and what is legal."""
    try:
        return _adapter(annotation).validate_json(json.dumps(value), strict=True)
    except PydanticUserError as error:
        raise ComponentError(
            f"{path}: its annotation {annotation} cannot be checked; options are numbers, texts, flags, "
            "Literal, lists, mappings and dataclasses of these"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        is_inside = get_origin(annotation) in _CONTAINERS and first["loc"]
        where = ".".join([path, *map(str, first["loc"])]) if is_inside else path
        got = first["input"] if is_inside else value
        plain = get_origin(annotation) is not Annotated and not is_inside
        wanted = f"expected {legal(annotation)}" if plain else first["msg"][0].lower() + first["msg"][1:]
        near = suggestion(value, _choices(annotation)) if isinstance(value, str) else ""
        raise ConfigError(f"{where}: {wanted}, got {show(got)}{near}") from error


def legal(annotation: Any) -> str:
    """Say what values an annotation allows."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return _alternatives([show(value) for value in arguments])
    if origin in (Union, types.UnionType):
        return _alternatives([legal(argument) for argument in arguments])
    if origin is Annotated:
        return legal(arguments[0])
    if origin in _LISTS:
        return "a list"
    if origin in _CONTAINERS:
        return "a mapping"
    return PHRASES.get(annotation, getattr(annotation, "__name__", str(annotation)))


def show(value: Any) -> str:
    """Return a value as a config file would write it."""
    return f"'{value}'" if isinstance(value, str) else json.dumps(value, default=str)


_LISTS = (list, tuple, set, frozenset, Sequence)
_CONTAINERS = (*_LISTS, dict, Mapping)


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [value for value in get_args(annotation) if isinstance(value, str)]
    return [choice for argument in get_args(annotation) for choice in _choices(argument)]


def _alternatives(phrases: Sequence[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} or {phrases[-1]}"

"""Check an option's value against its annotation, strictly: no text for a number, no number for a flag."""

import json
import re
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from burnish.platform.configuration.options import options_of
from burnish.platform.configuration.range_phrases import is_out_of_range, range_phrase
from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.errors import ComponentError, ConfigError

PHRASES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}
_INFINITE = re.compile(r"[+-]?\.?inf", re.IGNORECASE)
LONGEST = 200
"""Characters of a value that a message shows."""


def check(path: str, annotation: Any, value: Any) -> Any:
    """Return a plain value as the annotation's type; ConfigError says where and what is legal."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError) as error:  # bytes and the like, which YAML can hold and JSON cannot
        raise ConfigError(f"{path}: expected {legal(annotation)}, got {show(value)}") from error

    def validate(adapter: TypeAdapter[Any]) -> Any:
        return adapter.validate_json(text, strict=True)

    return _checked(path, annotation, value, validate)


def as_number(annotation: Any, value: Any) -> Any:
    """Return what a text such as `inf` or `.inf` spells where a number is legal and a text is not.

    YAML reads the one as a text and a command line the other.
    """
    if not isinstance(value, str) or not _INFINITE.fullmatch(value):
        return value
    allowed = legal(annotation)
    is_number = PHRASES[float] in allowed and PHRASES[str] not in allowed
    return float(value.replace(".", "")) if is_number else value


def check_options(component: object) -> None:
    """Raise ConfigError for the first option of a dataclass whose value is not of its type and range.

    For `__post_init__`, so that what is made in Python is held to the same as what is composed.
    """
    for name, option in options_of(type(component)).items():
        if option.slot is None and not option.is_section:
            value = getattr(component, name)

            def validate(adapter: TypeAdapter[Any], value: Any = value) -> Any:
                return adapter.validate_python(value, strict=True)

            _checked(name, option.annotation, value, validate)


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
    """Return a value as a config file would write it, the beginning of a long one."""
    shown = f"'{value}'" if isinstance(value, str) else json.dumps(value, default=str, skipkeys=True)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."


_LISTS = (list, tuple, set, frozenset, Sequence)
_CONTAINERS = (*_LISTS, dict, Mapping)


def _holds_null(value: Any) -> bool:
    """Whether a text in a value has a null character, which no path and no metric can have."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, Mapping):
        return any(map(_holds_null, chain(*cast("Mapping[Any, Any]", value).items())))
    return isinstance(value, (list, tuple)) and any(map(_holds_null, cast("Sequence[Any]", value)))


def _checked(path: str, annotation: Any, value: Any, validate: Callable[[TypeAdapter[Any]], Any]) -> Any:
    if _holds_null(value):
        raise ConfigError(f"{path}: expected {legal(annotation)}, got one with a null character")
    try:
        return validate(_adapter(annotation))
    except PydanticUserError as error:
        raise ComponentError(
            f"{path}: its annotation {annotation} cannot be checked; options are numbers, texts, flags, "
            "Literal, lists, mappings and dataclasses of these"
        ) from error
    except ValidationError as error:
        raise ConfigError(_refusal(path, annotation, value, error.errors(include_url=False))) from error


def _refusal(path: str, annotation: Any, value: Any, errors: Sequence[Any]) -> str:
    first = errors[0]
    is_inside = get_origin(annotation) in _CONTAINERS and first["loc"]
    where = ".".join([path, *map(str, first["loc"])]) if is_inside else path
    got = first["input"] if is_inside else value
    if outside := next((each for each in errors if is_out_of_range(each["type"])), None):
        return f"{where}={got} is out of range; legal: {range_phrase(annotation, outside)}"
    if first["type"] == "json_invalid":
        return f"{where}: expected {legal(annotation)}, got what is no Unicode: {show(value)}"
    plain = not is_inside and (get_origin(annotation) is not Annotated or first["type"] in _OF_TYPE)
    wanted = f"expected {legal(annotation)}" if plain else first["msg"][0].lower() + first["msg"][1:]
    near = suggestion(value, _choices(annotation)) if isinstance(value, str) else ""
    return f"{where}: {wanted}, got {show(got)}{near}"


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [value for value in get_args(annotation) if isinstance(value, str)]
    return [choice for argument in get_args(annotation) for choice in _choices(argument)]


def _alternatives(phrases: Sequence[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} or {phrases[-1]}"


_OF_TYPE = ("int_type", "int_from_float", "float_type", "string_type", "bool_type")
"""What pydantic calls a value of another type: the annotation says all there is to say."""

"""A component's options as Hydra composes them: defaults as plain values, slots as a defaults list."""

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

from burnish.platform.configuration.slot_fields import slot_field

MISSING = "???"
"""How a required option reads until someone sets it."""


def options(component: type[Any]) -> dict[str, Any]:
    """Return a dataclass's defaults as plain values, and a Hydra defaults list for the slots in it."""
    nested: list[Any] = []
    body = _body(component, None, "", nested)
    return {"defaults": ["_self_", *nested], **body}


def sections(by_name: Mapping[str, type[Any]]) -> dict[str, Any]:
    """Return the options of several dataclasses, each under its name."""
    nested: list[Any] = []
    body = {name: _body(section, None, f"{name}.", nested) for name, section in by_name.items()}
    return {"defaults": ["_self_", *nested], **body}


def _body(component: type[Any], instance: Any, prefix: str, nested: list[Any]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for field in dataclasses.fields(component):
        declared, path = slot_field(field), f"{prefix}{field.name}"
        if not field.init:
            continue
        if declared is None:
            value = _default(field) if instance is None else getattr(instance, field.name)
            kind = cast("type[Any]", type(value))
            is_nested = dataclasses.is_dataclass(kind)
            body[field.name] = _body(kind, value, f"{path}.", nested) if is_nested else plain(value)
        elif declared.kind == "shared":
            body[field.name] = f"${{{declared.slot}}}"
        elif declared.kind == "slots":
            body[field.name] = {}
            nested += [{f"/{declared.slot}@{path}.{name}": name} for name in declared.default]
        elif declared.is_optional:
            body[field.name] = None
        else:
            nested.append({f"/{declared.slot}@{path}": declared.default[0]})
    return body


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return MISSING if field.default_factory is dataclasses.MISSING else field.default_factory()


def plain(value: Any) -> Any:
    """Return a default as YAML can hold it; a `${` in it stays text."""
    if isinstance(value, str):
        return value.replace("${", "\\${")
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in cast("list[Any]", value)]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)

"""Configuration, components, runs, checkpoints, statistics and data: knows no model, token or reward."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from burnish.platform.configuration.composition import compose_config
    from burnish.platform.configuration.config import Config
    from burnish.platform.configuration.registry import available, resolve
    from burnish.platform.configuration.slot_fields import shared, slot, slots
    from burnish.platform.errors import BurnishError
    from burnish.platform.launch import run

__all__ = [
    "BurnishError",
    "Config",
    "available",
    "compose_config",
    "resolve",
    "run",
    "shared",
    "slot",
    "slots",
]

_MODULES = {
    "BurnishError": "errors",
    "Config": "configuration.config",
    "available": "configuration.registry",
    "compose_config": "configuration.composition",
    "resolve": "configuration.registry",
    "run": "launch",
    "shared": "configuration.slot_fields",
    "slot": "configuration.slot_fields",
    "slots": "configuration.slot_fields",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)

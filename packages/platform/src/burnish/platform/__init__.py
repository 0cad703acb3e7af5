"""Configuration, components, runs, checkpoints, statistics and data: knows no model, token or reward."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from burnish.platform.component import available, resolve, shared, slot, slots
    from burnish.platform.config import Config
    from burnish.platform.errors import BurnishError
    from burnish.platform.launch import compose_config, run

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
    "Config": "config",
    "available": "component",
    "compose_config": "launch",
    "resolve": "component",
    "run": "launch",
    "shared": "component",
    "slot": "component",
    "slots": "component",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)

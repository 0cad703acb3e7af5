"""Public names of a package that are imported when they are first used (PEP 562)."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, modules: Mapping[str, str], *, root: str | None = None) -> Callable[[str], Any]:
    """Return a package's `__getattr__`; `modules` says for each public name which module has it.

    Modules are named from `root` on, which is the package itself unless it is given.
    """

    def imported(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{root or package}.{modules[name]}"), name)

    return imported

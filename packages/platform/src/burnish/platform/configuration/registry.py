"""How a name finds its component among what is installed.

Listing reads the metadata of installed distributions and imports nothing; resolving imports the module of the
one component that is asked for. Composing and checking options live in `config_source` and `normalize`.
"""

import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from burnish.platform.configuration.component import source_of
from burnish.platform.configuration.first_party import DISTRIBUTIONS, FIRST_PARTY
from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.errors import BurnishError, ComponentError

NAME = re.compile(r"[a-z][a-z0-9_]*")


IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


ALLOW_LIST = "BURNISH_PLUGINS"
"""Environment variable: the names, or distributions, of other people's components that may be used."""


@dataclass(frozen=True)
class Provider:
    """One installed component: its slot and name, where it is imported from, and who ships it.

    A component named by its import path has no distribution and no version.
    """

    slot: str
    name: str
    value: str
    distribution: str | None
    version: str | None

    @property
    def origin(self) -> str:
        """Return distribution and version, as messages say them."""
        return f"{self.distribution} {self.version}" if self.distribution else "an import path"


def known_slots() -> list[str]:
    """Return every slot of the first-party packages and of whatever else is installed; `config` is none."""
    installed = (group.removeprefix("burnish.") for group in _installed(tuple(sys.path)))
    return sorted({*FIRST_PARTY, *installed} - {"config"})


def available(slot: str) -> dict[str, Provider]:
    """Return the installed components of a slot by name, without importing any.

    Raises:
        ComponentError: two distributions claim one name, or a name cannot be typed on a command line.
    """
    return {name: _only(found) for name, found in sorted(claims(slot).items())}


def provider(slot: str, name: str) -> Provider:
    """Return the one provider of a component; an import path is its own.

    Raises:
        ComponentError: nothing, or more than one distribution, provides it.
    """
    if IMPORT_PATH.fullmatch(name):
        return Provider(slot, name, name, None, None)
    found = claims(slot).get(name)
    if found is None:
        raise ComponentError(_unknown(slot, name))
    return _only(found)


def name_of(slot: str, component: object) -> str:
    """Return the name a component is installed under, or its import path where it is not."""
    source: Any = source_of(component)
    value = f"{source.__module__}:{source.__qualname__}"
    return next((name for name, found in sorted(claims(slot).items()) if found[0].value == value), value)


def resolve(slot: str, name: str, allow_import_paths: bool = True) -> type[Any] | Callable[..., Any]:
    """Import one component: a frozen dataclass with `build`, or a plain function.

    `name` is an installed component's, or `package.module:Symbol` where the config is the user's own; a
    config that arrived with a checkpoint may name only what is installed.

    Raises:
        ComponentError: unknown, claimed twice, failing to import, or no component.
    """
    if ":" in name and not allow_import_paths:
        raise ComponentError(
            f"{slot} '{name}' is an import path, and the config that names it arrived with an artifact: "
            "only installed components may be named there"
        )
    if ":" in name and not IMPORT_PATH.fullmatch(name):
        raise ComponentError(f"{slot} '{name}' is no import path; write 'package.module:Symbol'")
    return _load(provider(slot, name))


def _load(found: Provider) -> type[Any] | Callable[..., Any]:
    what = f"{found.slot} '{found.name}'"
    if found.distribution:
        what += f" of {found.origin} ({found.value})"
    module_name, _, symbol = found.value.partition(":")
    try:
        module = importlib.import_module(module_name)
    except BurnishError:
        raise
    except Exception as error:  # other people's code: whatever it raises, its distribution is named
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise ComponentError(f"{what} fails to import: {cause}") from error
    try:
        loaded = getattr(module, symbol)
    except AttributeError as error:
        near = suggestion(symbol, [name for name in vars(module) if not name.startswith("_")])
        raise ComponentError(f"{what}: module '{module_name}' has no '{symbol}'{near}") from error
    if not _is_component(loaded):
        raise ComponentError(f"{what} is neither a frozen dataclass with build() nor a plain function")
    return loaded


def _is_component(loaded: Any) -> bool:
    if not isinstance(loaded, type):
        return inspect.isfunction(loaded)
    parameters: Any = getattr(cast(Any, loaded), "__dataclass_params__", None)
    return (
        parameters is not None and parameters.frozen and callable(getattr(cast(Any, loaded), "build", None))
    )


def claims(slot: str) -> dict[str, list[Provider]]:
    """Return who provides each name of a slot; one distribution visible twice counts once."""
    by_name: dict[str, dict[tuple[str, str], Provider]] = {}
    for point in _points(slot):
        found = _provider(slot, point)
        if is_allowed(found):
            by_name.setdefault(found.name, {})[found.value, str(found.distribution)] = found
    return {name: list(by_value.values()) for name, by_value in by_name.items()}


@lru_cache(maxsize=1)
def _installed(_: tuple[str, ...]) -> dict[str, list[EntryPoint]]:
    """Return our entry points by group; reading them takes 20 ms, so once per search path is enough."""
    points = entry_points()
    return {
        group: list(points.select(group=group)) for group in points.groups if group.startswith("burnish.")
    }


def _points(slot: str) -> list[EntryPoint]:
    return _installed(tuple(sys.path)).get(f"burnish.{slot}", [])


def _provider(slot: str, point: EntryPoint) -> Provider:
    owner, version = (point.dist.name, point.dist.version) if point.dist else ("an unnamed distribution", "")
    if not NAME.fullmatch(point.name):
        raise ComponentError(
            f"{slot} '{point.name}' of {owner} {version} is no legal name: only small letters, digits "
            f"and '_', a letter first; uninstall {owner} or ask its author"
        )
    return Provider(slot, point.name, point.value, owner, version)


def is_allowed(found: Provider) -> bool:
    """Say whether the allow-list in the environment, where there is one, lets this component in."""
    allowed = os.environ.get(ALLOW_LIST)
    if allowed is None or found.distribution in DISTRIBUTIONS:
        return True
    names = {name.strip() for name in allowed.split(",")}
    return found.name in names or found.distribution in names


def _only(providers: Sequence[Provider]) -> Provider:
    first = providers[0]
    if len(providers) == 1:
        return first
    owners = ", ".join(f"{found.origin} ({found.value})" for found in providers)
    raise ComponentError(
        f"{first.slot} '{first.name}' is provided by more than one distribution: {owners}; uninstall one, "
        "or name the one you want as 'package.module:Symbol'"
    )


def _unknown(slot: str, name: str) -> str:
    providers = claims(slot)
    installed = ", ".join(f"{known} ({found[0].origin})" for known, found in sorted(providers.items()))
    parts = [f"unknown {slot} '{name}'"]
    home = FIRST_PARTY.get(slot, {}).get(name)
    blocked = next((p for p in _points(slot) if p.name == name), None)
    if blocked is not None and blocked.dist is not None:
        parts.append(f"; {blocked.dist.name} provides it, but {ALLOW_LIST} does not list it")
    elif home is not None:
        parts.append(f"; it comes with {home}: pip install {home}")
    else:
        parts.append(suggestion(name, providers))
    parts.append(f"; installed: {installed or 'none'}")
    if blocked is None and home is None:
        parts.append("; or name your own as 'package.module:Symbol'")
    return "".join(parts)

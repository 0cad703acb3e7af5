"""How a name finds its component among what is installed.

Listing reads the metadata of installed distributions and imports nothing; resolving imports the module of the
one component that is asked for. Composing and checking options live in `config_source` and `normalize`.
"""

import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any, cast

from burnish.platform.configuration.component import source_of
from burnish.platform.configuration.install_command import install_command
from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.errors import BurnishError, ComponentError

NAME = re.compile(r"[a-z][a-z0-9_]*")


IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


ALLOW_LIST = "BURNISH_PLUGINS"
"""Environment variable: the names, or distributions, of other people's components that may be used."""

PRESETS, METRICS, DEFAULT_STAGES, COMMANDS = "config", "metric", "default_stage", "command"
"""Groups of entry points that are no slots: presets, what is shown, the chain of `train` alone, commands."""


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

    @property
    def is_ours(self) -> bool:
        """Whether it is `burnish-x`'s own, from `burnish.x`: nobody else publishes into that namespace."""
        return f"{self.value.replace('.', '-', 1)}.".startswith(f"{self.distribution}.")


def known_slots() -> list[str]:
    """Return every slot that something is installed for; whoever registers the first component opens it."""
    return sorted(_read(tuple(sys.path)).keys() - {PRESETS, METRICS, DEFAULT_STAGES, COMMANDS})


def claims(slot: str) -> Mapping[str, Sequence[Provider]]:
    """Return who provides each name of a slot; one distribution visible twice counts once."""
    found = _read(tuple(sys.path)).get(slot, {})
    return _allowed(found, os.environ[ALLOW_LIST]) if ALLOW_LIST in os.environ else found


def available(slot: str) -> dict[str, Provider]:
    """Return the installed components of a slot by name, without importing any.

    Raises:
        ComponentError: two distributions claim one name, or a name cannot be typed on a command line.
    """
    return {name: provider(slot, name) for name in sorted(claims(slot))}


def provider(slot: str, name: str) -> Provider:
    """Return the one provider of a component; an import path is its own.

    Raises:
        ComponentError: nothing, or more than one distribution, provides it.
    """
    if IMPORT_PATH.fullmatch(name):
        return Provider(slot, name, name, None, None)
    match claims(slot).get(name, ()):
        case [found]:
            return found
        case []:
            raise ComponentError(_unknown(slot, name))
        case found:
            owners = ", ".join(f"{one.origin} ({one.value})" for one in found)
            raise ComponentError(
                f"{slot} '{name}' is provided by more than one distribution: {owners}; uninstall one, "
                "or name the one you want as 'package.module:Symbol'"
            )


def name_of(slot: str, component: object) -> str:
    """Return the name a component is installed under, or its import path where it is not."""
    source: Any = source_of(component)
    value = f"{source.__module__}:{source.__qualname__}"
    return next((name for name, found in sorted(claims(slot).items()) if found[0].value == value), value)


def described(slot: str, component: object) -> str:
    """Return what to call a component in a message, with the distribution that it comes from."""
    name = name_of(slot, component)
    return _described(Provider(slot, name, name, None, None) if ":" in name else provider(slot, name))


def maker_of(thing: object) -> str:
    """Return whose distribution something is made by, as messages say it: ` of their-wheel 1.0`.

    Told by the module that its class, or the function, is from; empty for what burnish publishes itself.
    """
    source: Any = thing if inspect.isfunction(thing) else type(thing)
    return maker_of_module(source.__module__)


def maker_of_module(module: str) -> str:
    """Return the distribution that registers a component from a module's package, as `maker_of` does."""
    for names in _read(tuple(sys.path)).values():
        for found in (one for every in names.values() for one in every if not one.is_ours):
            if re.split(r"[.:]", found.value)[0] == module.partition(".")[0]:
                return f" of {found.origin}"
    return ""


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
    found = provider(slot, name)
    loaded = load(found)
    if not _is_component(loaded):
        raise ComponentError(
            f"{_described(found)} is neither a frozen dataclass with build() nor a plain function"
        )
    return loaded


def load(found: Provider) -> Any:
    """Import what an entry point names; ComponentError names its distribution where that fails."""
    module_name, _, symbol = found.value.partition(":")
    try:
        module = importlib.import_module(module_name)
    except BurnishError:
        raise
    except (Exception, SystemExit) as error:  # other people's code: whatever it raises, it is named
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise ComponentError(f"{_described(found)} fails to import: {cause}") from error
    try:
        return getattr(module, symbol)
    except AttributeError as error:
        near = suggestion(symbol, [name for name in vars(module) if not name.startswith("_")])
        where = f"{_described(found)}: module '{module_name}'"
        raise ComponentError(f"{where} has no '{symbol}'{near}") from error


def _is_component(loaded: Any) -> bool:
    if not isinstance(loaded, type):
        return inspect.isfunction(loaded)
    parameters: Any = getattr(cast(Any, loaded), "__dataclass_params__", None)
    return (
        parameters is not None and parameters.frozen and callable(getattr(cast(Any, loaded), "build", None))
    )


def _allowed(found: Mapping[str, Sequence[Provider]], names: str) -> dict[str, list[Provider]]:
    """Return what is ours, and of other people's what the allow-list names."""
    legal = {name.strip() for name in names.split(",")}
    return {
        name: allowed
        for name, every in found.items()
        if (allowed := [one for one in every if one.is_ours or {name, one.distribution} & legal])
    }


@lru_cache(maxsize=1)
def _read(_: tuple[str, ...]) -> dict[str, dict[str, list[Provider]]]:
    """Read our entry points by slot and name: that takes 20 ms, so once per search path is enough."""
    slots: dict[str, dict[str, list[Provider]]] = {}
    points = entry_points()
    for group in points.groups:
        slot = group.removeprefix("burnish.")
        for point in points.select(group=group) if slot != group else ():
            owner, version = (point.dist.name, point.dist.version) if point.dist else ("an unknown owner", "")
            if not NAME.fullmatch(point.name):
                raise ComponentError(
                    f"{slot} '{point.name}' of {owner} {version} is no legal name: only small letters, "
                    f"digits and '_', a letter first; uninstall {owner} or ask its author"
                )
            found = Provider(slot, point.name, point.value, owner, version)
            same = slots.setdefault(slot, {}).setdefault(point.name, [])
            if (found.value, found.distribution) not in [(one.value, one.distribution) for one in same]:
                same.append(found)
    return slots


def _described(found: Provider) -> str:
    owner = f" of {found.origin} ({found.value})" if found.distribution else ""
    return f"{found.slot} '{found.name}'{owner}"


def _unknown(slot: str, name: str) -> str:
    """Say what is installed; which distribution would bring what is absent, nobody here can know.

    A stage is mostly a distribution of its own, named after it.
    """
    providers = claims(slot)
    installed = ", ".join(f"{known} ({found[0].origin})" for known, found in sorted(providers.items()))
    listed = f"; installed: {installed or 'none'}"
    blocked = _read(tuple(sys.path)).get(slot, {}).get(name)
    if blocked is not None:
        owner = blocked[0].distribution
        return f"unknown {slot} '{name}'; {owner} provides it, but {ALLOW_LIST} does not list it{listed}"
    near = suggestion(name, providers)
    absent = "" if near else "; no installed distribution provides it"
    if slot == "stage" and not near and NAME.fullmatch(name):
        absent += f", and one named after it may: {install_command('burnish-' + name.replace('_', '-'))}"
    return f"unknown {slot} '{name}'{near}{absent}{listed}; or name your own as 'package.module:Symbol'"

"""What a component is, how a dataclass declares the slots it fills, and how a name finds its component.

Listing reads the metadata of installed distributions and imports nothing; resolving imports the module of the
one component that is asked for. Composing and checking options live in `compose` and `normalize`.
"""

import dataclasses
import difflib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, Protocol, cast

from burnish.platform.errors import BurnishError, ComponentError
from burnish.platform.first_party import DISTRIBUTIONS, FIRST_PARTY

NAME = re.compile(r"[a-z][a-z0-9_]*")
IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
ALLOW_LIST = "BURNISH_PLUGINS"
"""Environment variable: the names, or distributions, of other people's components that may be used."""


class Component(Protocol):
    """Options that can be turned into the thing they describe."""

    @property
    def build(self) -> Callable[..., Any]:
        """Return what makes the thing from these options and its collaborators."""
        ...


@dataclass(frozen=True)
class FunctionComponent:
    """A plain function as a component without options."""

    function: Callable[..., Any]

    def build(self, **_: Any) -> Callable[..., Any]:
        """Return the function; it needs no collaborators."""
        return self.function


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


@dataclass(frozen=True)
class Reference:
    """What a dataclass field says about the component it holds."""

    kind: Literal["shared", "slot", "slots"]
    slot: str
    default: tuple[str, ...]

    @property
    def is_optional(self) -> bool:
        """Whether the field may hold None."""
        return self.kind == "slot" and not self.default


def shared(slot: str, default: str) -> Any:
    """Declare a field that holds the component at the top of the config, composed as `${<slot>}`."""
    return _reference_field(Reference("shared", slot, (default,)))


def slot(slot: str, default: str | None) -> Any:
    """Declare a field that holds a component of its own; with None as the default it may be empty."""
    return _reference_field(Reference("slot", slot, () if default is None else (default,)))


def slots(slot: str, default: Sequence[str]) -> Any:
    """Declare a field that holds several components: a mapping from a label to a component."""
    return _reference_field(Reference("slots", slot, tuple(default)))


def reference(field: "dataclasses.Field[Any]") -> Reference | None:
    """Return what the field declares, None where it holds an ordinary option."""
    return field.metadata.get("burnish")


def shared_slot(field: "dataclasses.Field[Any]") -> str | None:
    """Return the slot of a field declared with `shared`, None for any other."""
    declared = reference(field)
    return declared.slot if declared is not None and declared.kind == "shared" else None


def _reference_field(declared: Reference) -> Any:
    def default() -> Any:
        made = {name: default_component(declared.slot, name) for name in declared.default}
        return made if declared.kind == "slots" else next(iter(made.values()), None)

    return dataclasses.field(default_factory=default, metadata={"burnish": declared})


def default_component(slot: str, name: str) -> Any:
    """Return the component `name` with its default options."""
    found = resolve(slot, name)
    return found() if isinstance(found, type) else FunctionComponent(found)


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


def suggestion(asked: str, legal: Sequence[str] | Mapping[str, Any]) -> str:
    """Return " (did you mean 'x'?)" for the nearest legal name, or nothing when none is near."""
    near = difflib.get_close_matches(asked, list(legal), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""

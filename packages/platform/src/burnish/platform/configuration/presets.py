"""The packages of YAML presets that distributions bring along, and the check that no two claim one option.

Hydra takes the first match on its search path and says nothing of a second, so clashes are refused before it
starts.
"""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from pathlib import Path

from burnish.platform.configuration.registry import PRESETS, Provider, claims, known_slots
from burnish.platform.errors import ComponentError

PRIMARY = "burnish.platform.conf"
"""The package that holds `train.yaml`; Hydra has it on its search path already."""


@dataclass(frozen=True)
class PresetPackage:
    """One import package of presets: who ships it, and the options in it, such as `experiment/control`."""

    provider: Provider
    options: tuple[str, ...]


def preset_packages() -> list[PresetPackage]:
    """Return every installed package of presets, in the order of their distributions.

    Raises:
        ComponentError: a package fails to import, or two claim one option.
    """
    providers = sorted(chain.from_iterable(claims(PRESETS).values()), key=attrgetter("distribution"))
    packages = [PresetPackage(found, tuple(_options(found))) for found in providers]
    _refuse_clashes(packages)
    return packages


def preset_text(option: str) -> str | None:
    """Return the file of a preset such as `experiment/control`; None where none is installed."""
    for package in preset_packages():
        if option in package.options:
            return (_root(package.provider) / f"{option}.yaml").read_text(encoding="utf-8")
    return None


def _options(found: Provider) -> Iterator[str]:
    root = _root(found)
    for file in sorted(root.rglob("*.yaml")):
        yield file.relative_to(root).with_suffix("").as_posix()


def _root(found: Provider) -> Path:
    """Return the directory of a package of presets."""
    try:
        package = importlib.import_module(found.value)
    except (Exception, SystemExit) as error:  # other people's code: whatever it raises, it is named
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise ComponentError(f"presets '{found.value}' of {found.origin} fail to import: {cause}") from error
    if package.__file__ is None:
        raise ComponentError(
            f"presets '{found.value}' of {found.origin} need an __init__.py in that directory"
        )
    return Path(package.__file__).parent


def _refuse_clashes(packages: list[PresetPackage]) -> None:
    owners: dict[str, Provider] = {}
    for slot in known_slots():
        for name, providers in claims(slot).items():
            owners[f"{slot}/{name}"] = providers[0]
    for package in packages:
        for option in package.options:
            other = owners.setdefault(option, package.provider)
            if other is not package.provider:
                owner = package.provider
                raise ComponentError(
                    f"preset '{option}' is provided by more than one distribution: {other.origin} "
                    f"({other.value}), {owner.origin} ({owner.value}); uninstall one of them"
                )

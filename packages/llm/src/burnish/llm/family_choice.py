"""Which installed family a model is of: the one that matches its `config.json`, or the one that is named.

A family that cannot be used matters to its own models alone: it is told of where no other matches, and where
it is the one that is named.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.llm.families.protocol import FamilyComponent
from burnish.platform.configuration.conformance import conforming
from burnish.platform.configuration.registry import Provider, claims, provider, resolve
from burnish.platform.errors import BurnishError, ComponentError, ConfigError

AUTO = "auto"
"""The word for the one family that matches."""


@dataclass(frozen=True)
class Family:
    """A family that matches a model, and who provides it."""

    component: FamilyComponent
    provider: Provider


def find_family(hf_config: Mapping[str, Any], directory: Path, chosen: str = AUTO) -> Family:
    """Return the one installed family that matches, or the chosen one, which has to match.

    Raises:
        ConfigError: none matches, several do, or the chosen one does not.
        ComponentError: the chosen one is unknown or cannot be used.
    """
    if chosen == AUTO:
        return _only_match(hf_config, directory)
    try:
        family = Family(_component(chosen), provider_of(chosen))
        is_match = _matches(family.component, hf_config)
    except BurnishError as error:
        raise ComponentError(f"model.family={chosen}: {error}") from error
    if not is_match:
        raise ConfigError(
            f"model.family={chosen} does not match {_named(hf_config, directory)}; set model.family={AUTO}"
        )
    return family


def provider_of(word: str) -> Provider:
    """Return who provides what a word names, also where that is the import path of an installed one."""
    paths = {one.value: one for one in _installed().values()}
    return paths[word] if word in paths else provider("family", word)


def _only_match(hf_config: Mapping[str, Any], directory: Path) -> Family:
    families, unusable = _installed(), list[str]()
    matching: dict[str, Family] = {}
    for word, found in families.items():
        try:
            component = _component(word)
            if _matches(component, hf_config):
                matching[word] = Family(component, found)
        except BurnishError as error:
            unusable.append(f"'{word}' ({found.origin}): {error}")
    if len(matching) == 1:
        return next(iter(matching.values()))
    what = _named(hf_config, directory)
    if matching:
        told = " and ".join(f"'{word}' ({family.provider.origin})" for word, family in matching.items())
        words = " or ".join(f"model.family={word}" for word in matching)
        raise ConfigError(f"model.name_or_path: the families {told} match {what}; set {words}")
    left_out = "".join(f"; left out, as it cannot be used: {each}" for each in unusable)
    raise ConfigError(
        f"model.name_or_path: no installed family matches {what}; installed: {', '.join(families)}{left_out}"
    )


def _installed() -> dict[str, Provider]:
    """Return the families by the words that choose them: import paths where wheels share a name."""
    named = claims("family").values()
    words = {one.name if len(every) == 1 else one.value: one for every in named for one in every}
    return dict(sorted(words.items()))


def _component(word: str) -> FamilyComponent:
    """Return a family that has what its slot asks for; ComponentError where it cannot be had."""
    found = resolve("family", word)
    try:
        component = found()
    except Exception as error:  # other people's code: whatever it raises, it is named
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise ComponentError(f"family '{word}' cannot be made without options: {cause}") from error
    return conforming("family", component, component, FamilyComponent)


def _matches(component: FamilyComponent, hf_config: Mapping[str, Any]) -> bool:
    try:
        return bool(component.match(hf_config))
    except Exception as error:  # other people's code: whatever it raises, it is named
        name, cause = type(component).__name__, " ".join(f"{type(error).__name__}: {error}".split())
        raise ComponentError(f"family {name} fails in `match`: {cause}") from error


def _named(hf_config: Mapping[str, Any], directory: Path) -> str:
    return f"model_type={hf_config.get('model_type')!r} in {directory}"

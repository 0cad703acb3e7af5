"""What `train --help <path>` prints, wherever the option is that is asked for.

The config may lack values, the component that has the option may not be the chosen one, and a path may be
given by its end alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from burnish.platform.configuration.chosen import Chosen, chosen_components, others_with
from burnish.platform.configuration.composition import checked, compose_raw, explained
from burnish.platform.configuration.config import Sections
from burnish.platform.configuration.describe import (
    describe_component,
    describe_option,
    describe_path,
    describe_slot,
)
from burnish.platform.configuration.option_paths import paths_that_end_in
from burnish.platform.configuration.options import MISSING, Option, options_of
from burnish.platform.configuration.registry import known_slots, resolve
from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.configuration.unknown_key import SHOWN
from burnish.platform.errors import RequiredError, UnknownKeyError


def explanation(overrides: Sequence[str], path: str) -> list[str]:
    """Return the lines about a path of what the overrides compose.

    Raises:
        BurnishError: they are no legal configuration, or nothing that is installed has such an option.
    """
    with explained(overrides):
        composed = compose_raw(overrides)
        try:
            return _there(composed, path)
        except UnknownKeyError as error:
            if error.key != path:
                raise
            if lines := [*_not_there(composed, path)]:
                return lines
            raise


def _there(composed: DictConfig, path: str) -> list[str]:
    try:
        config = checked(composed)
    except RequiredError:
        return [*_unset(composed, path)]
    return [*describe_path(config, path)]


def _unset(composed: DictConfig, path: str) -> Iterator[str]:
    """Yield what stands at a path of a config that lacks a value, by what is chosen there or above it."""
    chosen = chosen_components(composed)
    if path in chosen:
        yield from describe_component(*chosen[path])
    elif path == "stages":
        for block in (place for place in chosen if place.startswith("stages.")):
            yield from _unset(composed, block)
    else:
        yield from _unset_option(composed, path, *_holder(chosen, path))


def _unset_option(composed: DictConfig, path: str, kind: Any, place: str) -> Iterator[str]:
    """Yield what is said of an option of `kind`, which the component at `place` is or has."""
    chosen, options, name = chosen_components(composed), _options(kind), path.rpartition(".")[2]
    option = options.get(name)
    if option is None:
        names = [*options] if place else [*options, *(each for each in chosen if "." not in each), "stages"]
        has = f"{place or 'a config'} has {', '.join(names) or 'none'}"
        raise UnknownKeyError(f"{path}: no such option{suggestion(name, names)}; {has}", path, names)
    if option.slot is not None and option.slot.slot in chosen:
        yield from describe_component(*chosen[option.slot.slot])
    elif option.slot is not None:
        yield from describe_slot(option.slot.slot)
    elif option.is_section:
        for inner in options_of(option.annotation):
            yield from _unset(composed, f"{path}.{inner}")
    else:
        yield from describe_option(kind, name, path, OmegaConf.select(composed, path, default=MISSING))


def _holder(chosen: Mapping[str, Chosen], path: str) -> tuple[Any, str]:
    """Return what has the option at a path, and the place of the component that it belongs to."""
    parts = path.split(".")
    above = [".".join(parts[:depth]) for depth in range(len(parts) - 1, 0, -1)]
    place = next((each for each in above if each in chosen), "")
    kind: Any = resolve(*chosen[place]) if place else Sections
    for section in path.removeprefix(f"{place}.").split(".")[:-1]:
        option = _options(kind).get(section)
        if option is not None and option.slot is not None and option.slot.slot in chosen:
            kind, place = resolve(*chosen[option.slot.slot]), option.slot.slot
        else:
            kind = option.annotation if option is not None and option.is_section else None
    return kind, place


def _options(kind: Any) -> Mapping[str, Option]:
    return options_of(cast("type[Any]", kind)) if isinstance(kind, type) else {}


def _not_there(composed: DictConfig, path: str) -> Iterator[str]:
    """Yield what a path that leads nowhere is about: whole paths, or else other components', and a slot."""
    whole = paths_that_end_in(path, composed)[:SHOWN]
    for meant in whole:
        yield from _there(composed, meant)
    if not whole:
        yield from _not_chosen(composed, path)
    if path in known_slots():
        yield from describe_slot(path)


def _not_chosen(composed: DictConfig, path: str) -> Iterator[str]:
    """Yield what a path is as an option of components that are not chosen."""
    name = path.rpartition(".")[2]
    for word, other in _elsewhere(composed, path).items():
        place = word.partition("=")[0]
        kind = cast("type[Any]", resolve(*other))
        default = options_of(kind)[name].default
        yield from describe_option(kind, name, f"{place}.{name}", MISSING if default is None else default())
        now = chosen_components(composed)[place].name
        yield f"    An option of {word}, while {place}={now} is chosen: train {word} {place}.{name}=..."


def _elsewhere(composed: DictConfig, path: str) -> dict[str, Chosen]:
    """Return the components with the option, by the words that choose them, once for each component."""
    if "." in path:
        return others_with(path, composed)
    found: dict[Chosen, str] = {}
    for place in chosen_components(composed):
        for word, other in others_with(f"{place}.{path}", composed).items():
            found.setdefault(other, word)
    return {word: other for other, word in found.items()}

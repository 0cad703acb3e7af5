"""What is said of a word that is no key=value: what it may be short for."""

import re
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from burnish.platform.configuration.chosen import chosen_components
from burnish.platform.configuration.option_paths import paths_that_end_in
from burnish.platform.configuration.registry import available, known_slots
from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.configuration.unknown_key import SHOWN

BARE = re.compile(r"[A-Za-z_][\w.+-]*")
"""A word without `=` and without anything that only Hydra understands."""


def said_of_bare(word: str, arguments: Sequence[str], composed: DictConfig | None) -> str:
    """Return one line: the chain, component or option that a bare word names, else how words are written."""
    stages = available("stage")
    parts = word.split("+")
    if all(part in stages for part in parts):
        return f"'{word}' is no key=value: write stage={word}"
    if len(parts) > 1 or suggestion(word, stages):
        wrong = next(part for part in parts if part not in stages)
        return f"'{word}' is no key=value{suggestion(wrong, stages)}; a chain is given as stage=a+b"
    names = [] if composed is None else [*_choices(word, composed), *_options(word, composed)]
    without = " without spaces" if any(each.startswith("=") for each in arguments) else ""
    if names:
        return f"'{word}' is no key=value: write {' or '.join(names[:SHOWN])}{without}"
    if word in known_slots() or (composed is not None and OmegaConf.select(composed, word) is not None):
        spaced = f": write {word}=value{without}" if without else ""
        return f"'{word}' is no key=value{spaced}; train --help {word} says what there is to set"
    return f"'{word}' is no option: write key=value"


def _choices(name: str, composed: DictConfig) -> list[str]:
    """Return the words that choose a component of this name at the top."""
    slots = [place for place, chosen in chosen_components(composed).items() if place == chosen.slot]
    return [f"{slot}={name}" for slot in slots if name in available(slot)]


def _options(word: str, composed: DictConfig) -> list[str]:
    """Return how the option that a word names, or that its path ends in, is set."""
    above, _, name = word.rpartition(".")
    holder = OmegaConf.select(composed, above) if above else composed
    is_there = isinstance(holder, DictConfig) and name in list(holder)
    paths = [word] if is_there else paths_that_end_in(word, composed)
    return [f"{path}=..." for path in paths if not isinstance(OmegaConf.select(composed, path), DictConfig)]

"""What is said of a key that nothing has: where it is meant to stand, who has it, what is legal instead."""

from collections.abc import Sequence

from omegaconf import DictConfig

from burnish.platform.configuration.chosen import others_with
from burnish.platform.configuration.option_paths import paths_that_end_in
from burnish.platform.configuration.suggestion import suggestion

SHOWN = 4
"""Paths that a message names at most."""


def elsewhere(key: str, composed: DictConfig, typed: str = "") -> str:
    """Return one line that names the options whose path ends in a key, as it was typed; "" for none."""
    typed = typed or key
    meant = [path for path in paths_that_end_in(typed, composed) if path != key]
    return f"{typed}: unknown key; did you mean {' or '.join(meant[:SHOWN])}?" if meant else ""


def unknown(key: str, legal: Sequence[str], composed: DictConfig) -> str:
    """Return one line with the nearest legal key, the components that have this one, and the legal keys."""
    above, _, name = key.rpartition(".")
    keys = [*legal, *([] if above else ["stage"])]
    has = " or ".join(others_with(key, composed)) if above else ""
    choose = f"; choose {has} to set it" if has else ""
    listed = f"legal keys: {', '.join(keys)}" if keys else "it has no options"
    return f"{key}: unknown key{'' if has else suggestion(name, keys)}{choose}; {listed}"

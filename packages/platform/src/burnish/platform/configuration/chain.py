"""The chain: which blocks a config has, which stage each one is, and what they share."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from burnish.platform.configuration.options import options_of
from burnish.platform.configuration.registry import DEFAULT_STAGES, available, load, resolve
from burnish.platform.errors import ComponentError, ConfigError

DEFAULT = "default"
"""The chain of `train` alone: every installed stage that is registered for it, by its position."""

REPEATED = re.compile(r"_\d+$")


def chain_blocks(chain: str) -> dict[str, str]:
    """Return the blocks of `a+b+a` in order, each with its stage: `{"a": "a", "b": "b", "a_2": "a"}`."""
    chain = default_chain() if chain == DEFAULT else chain
    seen: Counter[str] = Counter()
    blocks: dict[str, str] = {}
    for stage in chain.split("+"):
        name = stage.rpartition(":")[2].lower()
        if not name:
            raise ConfigError(f"stage='{chain}' lacks a stage beside a '+'; write stage=a or stage=a+b")
        seen[name] += 1
        blocks[name if seen[name] == 1 else f"{name}_{seen[name]}"] = stage
    return blocks


def default_chain() -> str:
    """Return the chain of `train` alone; ComponentError where no stage is registered for it."""
    positions = {name: load(found) for name, found in available(DEFAULT_STAGES).items()}
    if not positions:
        installed = ", ".join(available("stage")) or "none; a stage comes with a distribution of its own"
        raise ComponentError(
            f"stage: no installed stage is in the default chain; set stage=<name>, installed: {installed}"
        )
    if wrong := [name for name, position in positions.items() if not isinstance(position, int)]:
        raise ComponentError(f"stage '{wrong[0]}' is registered for the default chain by no whole number")
    return "+".join(sorted(positions, key=lambda name: (positions[name], name)))


def shared_slots(blocks: Mapping[str, str]) -> dict[str, str]:
    """Return the slots that the blocks share, each with the component that the first of them defaults to."""
    shared: dict[str, str] = {}
    for stage in blocks.values():
        for option in options_of(stage_type(stage)).values():
            if option.slot is not None and option.slot.kind == "shared":
                shared.setdefault(option.slot.slot, option.slot.default[0])
    return shared


def stage_type(name: str) -> type[Any]:
    """Import one stage's dataclass; a plain function is no stage."""
    found = resolve("stage", name)
    if not isinstance(found, type):
        raise ComponentError(
            f"stage '{name}' is a function, not a frozen dataclass with build(run, **shared)"
        )
    return found


def stage_of_block(block: str) -> str | None:
    """Return the installed stage that a block's name stands for, None where there is none."""
    installed = available("stage")
    return next((name for name in (block, REPEATED.sub("", block)) if name in installed), None)

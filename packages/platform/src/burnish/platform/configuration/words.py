"""What a user types, written out as Hydra composes it.

A user names a component as a value, gives one of several a label, puts a key into a mapping; Hydra wants to
be told which of these is a choice of a group, which is new and which is there. The dataclass fields say.
"""

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, get_origin

from burnish.platform.configuration.chain import (
    DEFAULT,
    chain_blocks,
    shared_slots,
    stage_of_block,
    stage_type,
)
from burnish.platform.configuration.config import Sections
from burnish.platform.configuration.options import options_of
from burnish.platform.configuration.registry import (
    DEFAULT_STAGES,
    IMPORT_PATH,
    NAME,
    available,
    known_slots,
    resolve,
)
from burnish.platform.configuration.slot_fields import SlotField
from burnish.platform.errors import BurnishError


class _Place(NamedTuple):
    """What a key stands for: a component of a slot, under a label where there are several, or a mapping."""

    declared: SlotField | None
    label: str | None

    @property
    def is_new(self) -> bool:
        """Whether it is a label that the dataclass itself does not give."""
        return self.declared is not None and self.label not in (None, *self.declared.default)


_MAPPING = _Place(None, None)
"""A mapping of options or of components, or a key of one: what is not there is added, and checked later."""

_CHAIN = re.compile(r"(?<=^stage=)\[(.*)\]$")
"""A chain as a list; left to Hydra, two stages that share a slot would collide."""


def written_out(words: Sequence[str], chosen_groups: Callable[[list[str]], Collection[str]]) -> list[str]:
    """Return the words with the short forms written out, in their order.

    `stage=[a,b]` is `stage=a+b`. `checkpoint.backend=orbax` chooses a component, as
    `checkpoint@checkpoint.backend=orbax` does, so that its own options are composed and can be set;
    `stages.rl.data=jsonl` gives that block data of its own, as `+data@stages.rl.data=jsonl` does, and
    `stages.rl.rewards.more=format` one reward more. A new key of a mapping is added, as by `++`.

    `chosen_groups` says which groups have a choice when some words are composed: whether a label is new.
    """
    words = [_CHAIN.sub(lambda chain: "+".join(map(str.strip, chain[1].split(","))), word) for word in words]
    chosen: dict[str, str] = {}
    for word in words:
        key, _, value = word.lstrip("+").partition("=")
        chosen[key.rpartition("@")[2]] = value.partition(",")[0]
    places = {word: place for word in words if (place := _place(word, chosen)) is not None}
    new = tuple(word.partition("=")[0] for word, place in places.items() if place.is_new)
    groups = chosen_groups([word for word in words if not word.startswith(new)]) if new else ()
    return [_written(word, places[word], groups) if word in places else word for word in words]


def _written(word: str, place: _Place, groups: Collection[str]) -> str:
    key, _, value = word.partition("=")
    declared, label = place
    if declared is None:
        return f"++{word}"
    names = [] if value == "null" else value.split(",")
    if not names or not all(NAME.fullmatch(name) or IMPORT_PATH.fullmatch(name) for name in names):
        return word if label is None else f"++{word}"
    group = f"{declared.slot}@{key}"
    is_new = declared.kind in ("shared", "optional") if label is None else place.is_new
    return f"{'+' if is_new and group not in groups else ''}{group}={value}"


def _place(word: str, chosen: Mapping[str, str]) -> _Place | None:
    """Return what the word's key stands for; None for an option, and for what only Hydra understands."""
    key, equals, _ = word.partition("=")
    parts = key.split(".")
    if not equals or len(parts) < 2 or not key.replace(".", "").isidentifier():
        return None
    try:
        kind, parts, path = _start(parts, chosen)
        return _follow(kind, parts, path, chosen)
    except BurnishError:
        return None  # composing it says why


def _start(parts: list[str], chosen: Mapping[str, str]) -> tuple[Any, list[str], str]:
    """Return the dataclass that the path begins in, what is left of the path, and what is not."""
    head, typed = parts[0], chosen.get("stage")
    if head == "stages":
        stage = chain_blocks(typed).get(parts[1]) if typed else None
        stage = stage or stage_of_block(parts[1])
        return stage and stage_type(stage), parts[2:], f"stages.{parts[1]}"
    if head not in known_slots() or head in options_of(Sections):
        return Sections, parts, ""
    # A file or a preset may choose the chain: where the default one lacks the slot, any stage will do.
    default = [DEFAULT] if available(DEFAULT_STAGES) else []
    for chain in [typed] if typed else [*default, *available("stage")]:
        if (shared := shared_slots(chain_blocks(chain)).get(head)) is not None:
            return resolve(head, chosen.get(head, shared)), parts[1:], head
    return None, parts, ""


def _follow(kind: Any, parts: list[str], path: str, chosen: Mapping[str, str]) -> _Place | None:
    """Return what the rest of a path stands for in a dataclass."""
    if not parts or not isinstance(kind, type) or not dataclasses.is_dataclass(kind):
        return None
    option = options_of(kind).get(parts[0])
    if option is None:
        return None
    path, rest = f"{path}.{parts[0]}".lstrip("."), parts[1:]
    declared, label = option.slot, None
    if declared is None:
        is_whole = not rest and option.is_section
        if is_whole or get_origin(option.annotation) in (dict, Mapping):
            return _MAPPING
        return _follow(option.annotation, rest, path, chosen)
    if declared.kind == "slots":
        if not rest:
            return _MAPPING
        label, *rest = rest
        path = f"{path}.{label}"
    if not rest:
        return _Place(declared, label)
    default = label if declared.kind == "slots" else next(iter(declared.default), "")
    inherited = chosen.get(declared.slot, default) if declared.kind == "shared" else default
    return _follow(resolve(declared.slot, chosen.get(path, str(inherited))), rest, path, chosen)

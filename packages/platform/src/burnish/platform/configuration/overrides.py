"""What a user may type, turned into what Hydra composes: `stage=[a,b]`, and a component's name as a value."""

import dataclasses
from collections.abc import Sequence

from burnish.platform.configuration.chain import SECTIONS, stage_of_block, stage_type
from burnish.platform.configuration.registry import IMPORT_PATH, NAME
from burnish.platform.configuration.slot_fields import SlotField, slot_field


def rewrite(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the short forms written out.

    `stage=[a,b]` is `stage=a+b`. `checkpoint.backend=orbax` chooses a component, as
    `checkpoint@checkpoint.backend=orbax` does, so its own options are composed and can be set;
    `stages.rl.data=jsonl` gives that block data of its own, as `+data@stages.rl.data=jsonl` does.
    """
    return [_choice(_chain(argument)) for argument in arguments]


def _chain(argument: str) -> str:
    """Left to Hydra, two stages that share a slot would collide."""
    key, _, value = argument.partition("=")
    if key != "stage" or not (value.startswith("[") and value.endswith("]")):
        return argument
    return f"stage={'+'.join(part.strip() for part in value[1:-1].split(','))}"


def _choice(argument: str) -> str:
    key, _, value = argument.partition("=")
    names = value.split(",")
    if not all(NAME.fullmatch(name) or IMPORT_PATH.fullmatch(name) for name in names) or value == "null":
        return argument
    declared = _declared(key.split("."))
    if declared is None or declared.kind == "slots":
        return argument
    is_new = declared.kind == "shared" or declared.is_optional
    return f"{'+' if is_new else ''}{declared.slot}@{key}={value}"


def _declared(parts: list[str]) -> SlotField | None:
    """Return what the field at `<section>.<field>` or `stages.<block>.<field>` holds; None for an option."""
    if len(parts) == 2 and parts[0] in SECTIONS:
        owner = SECTIONS[parts[0]]
    elif len(parts) == 3 and parts[0] == "stages":
        stage = stage_of_block(parts[1])
        if stage is None:
            return None
        owner = stage_type(stage)
    else:
        return None
    return next((slot_field(field) for field in dataclasses.fields(owner) if field.name == parts[-1]), None)

"""Tidy what merging leaves behind where a block has a shared component of its own.

A block holds `data: ${data}`. Merging `+data@stages.rl.data=jsonl` over that copies the options of the
component at the top first, so options that only that one has would stay and be taken for typing errors.
"""

import dataclasses
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf, open_dict

from burnish.platform.configuration.registry import resolve


def settle(composed: DictConfig) -> DictConfig:
    """Remove from each block's own shared component the options that it inherited and does not have."""
    words = [word.lstrip("+~").partition("=")[0] for word in typed_overrides(composed)]
    for key, choice in composed.hydra.runtime.choices.items():
        slot, _, path = str(key).partition("@")
        if slot == "stages" or slot not in composed or not path.startswith("stages.") or choice is None:
            continue
        own, top = OmegaConf.select(composed, path), composed[slot]
        if isinstance(own, DictConfig) and isinstance(top, DictConfig):
            # The copy was made before the command line changed the component at the top.
            changed = {
                name for name in top if any(f"{word}.".startswith(f"{slot}.{name}.") for word in words)
            }
            _drop(own, top, changed, resolve(slot, str(own.get("use", choice))))
    return composed


def typed_overrides(composed: DictConfig) -> list[str]:
    """Return what was typed, with a `${...}` in it as it was typed: reading the list would resolve it."""
    return cast("list[str]", OmegaConf.to_container(composed.hydra.overrides.task, resolve=False))


def _drop(own: DictConfig, top: DictConfig, changed: set[Any], component: Any) -> None:
    fields = (
        {field.name for field in dataclasses.fields(component)} if isinstance(component, type) else set[str]()
    )
    with open_dict(own):
        for name in [name for name in own if name not in fields and name != "use" and name in top]:
            if name in changed or own[name] == top[name]:
                del own[name]

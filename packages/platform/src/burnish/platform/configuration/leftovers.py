"""What presets say of the component that a stage has by default, where another one is chosen.

The recipe of a model sets options of `adamw`; whoever takes `sgd` has not asked for them, and it may not have
them. What the user wrote, in words or in a file, stays and is refused as any unknown key.
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf, open_dict

from burnish.platform.configuration.chosen import Chosen, chosen_components
from burnish.platform.configuration.options import options_of
from burnish.platform.configuration.registry import resolve
from burnish.platform.configuration.user_file import user_file


def drop_leftovers(composed: DictConfig, words: Sequence[str]) -> None:
    """Remove the options that a block's default component has, its chosen one lacks, and nobody wrote."""
    file = user_file.get()
    written = {} if file is None else OmegaConf.to_container(OmegaConf.load(file.path), resolve=False)
    for place, chosen, default in _replaced(composed):
        node: Any = OmegaConf.select(composed, place)
        if not isinstance(node, DictConfig):
            continue
        own = _at(written, place)
        for name in default.options() - chosen.options():
            is_typed = any(_path(word).startswith(f"{place}.{name}") for word in words)
            is_in_file = isinstance(own, dict) and name in own
            if name in node and not is_typed and not is_in_file:
                with open_dict(node):
                    del node[name]


def _replaced(composed: DictConfig) -> Iterator[tuple[str, Chosen, Chosen]]:
    """Yield the places in blocks where not the default is chosen: place, what is chosen, and the default."""
    components = chosen_components(composed)
    for place, chosen in components.items():
        block, _, option = place.rpartition(".")
        if block not in components or components[block].slot != "stage":
            continue
        declared = options_of(resolve("stage", components[block].name))[option].slot
        if declared is not None and declared.kind == "slot" and declared.default[0] != chosen.name:
            yield place, chosen, Chosen(chosen.slot, declared.default[0])


def _at(content: Any, path: str) -> Any:
    for key in path.split("."):
        content = cast("dict[str, Any]", content).get(key) if isinstance(content, dict) else None
    return content


def _path(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]

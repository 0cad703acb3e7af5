"""Which component stands where in a composition, and which others there are that could stand there."""

from collections.abc import Set
from typing import NamedTuple

from omegaconf import DictConfig

from burnish.platform.configuration.options import options_of
from burnish.platform.configuration.registry import available, known_slots, resolve
from burnish.platform.errors import ComponentError


class Chosen(NamedTuple):
    """A component, by the slot it is for and its name there."""

    slot: str
    name: str

    def options(self) -> Set[str]:
        """Return the names of its options; none of a function, and of what fails to import."""
        try:
            found = resolve(self.slot, self.name)
        except ComponentError:
            return frozenset()
        return options_of(found).keys() if isinstance(found, type) else frozenset()


def chosen_components(composed: DictConfig) -> dict[str, Chosen]:
    """Return what is chosen by its place in the config, the blocks of the chain included."""
    slots = known_slots()
    found: dict[str, Chosen] = {}
    for key, name in composed.hydra.runtime.choices.items():
        group, _, place = str(key).partition("@")
        slot = "stage" if group == "stages" else group
        if name is not None and slot in slots and key != "stage":
            found[place or group] = Chosen(slot, str(name))
    return found


def others_with(path: str, composed: DictConfig) -> dict[str, Chosen]:
    """Return the components that have the option at a path, where the chosen one may lack it.

    The keys are the words that choose them, such as `data=jsonl`.
    """
    place, _, option = path.rpartition(".")
    chosen = chosen_components(composed)
    top = place.rpartition(".")[2]
    place = place if place in chosen else top  # a block's own is the shared one
    if place not in chosen or chosen[place].slot == "stage":
        return {}
    slot, name = chosen[place]
    others = [Chosen(slot, other) for other in available(slot) if other != name]
    return {f"{place}={other.name}": other for other in others if option in other.options()}

"""What takes part in a checkpoint, what it hands over, and what it is given back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

Tree = Any
"""A pytree of arrays, or of anything with a shape and a dtype where only a likeness is asked for."""


def _empty() -> dict[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The state of one participant: array trees, plain values, and files as they are."""

    trees: Mapping[str, Tree] = field(default_factory=_empty)
    """Name -> pytree of arrays; each becomes a directory of that name under the participant's."""
    json: Mapping[str, Any] = field(default_factory=_empty)
    """What is no array; must survive a round trip through JSON."""
    files: Mapping[str, bytes] = field(default_factory=_empty)
    """File name -> content, written beside the trees (a tokenizer, a model's config)."""


class Restored:
    """One participant's share of a verified checkpoint."""

    def __init__(
        self,
        json: Mapping[str, Any],
        load_tree: Callable[[str, Tree], Tree],
        read_file: Callable[[str], bytes],
    ) -> None:
        """Hold the plain values and the two ways to read the rest."""
        self.json = json
        self._load_tree = load_tree
        self._read_file = read_file

    def tree(self, name: str, like: Tree) -> Tree:
        """Return the tree `name` with the structure, shapes, dtypes and shardings of `like`.

        Leaves whose likeness has no sharding come back as numpy arrays. Raises `CheckpointError` when a
        leaf is missing, unexpected, or of another shape or dtype.
        """
        return self._load_tree(name, like)

    def file(self, name: str) -> bytes:
        """Return the content of the file `name`."""
        return self._read_file(name)


@runtime_checkable
class Stateful(Protocol):
    """Whoever takes part in checkpoints.

    One whose state has trees or files may say by `state_version` when it has changed: any value that is
    another one after each change. An error in the middle of a step can then be saved before, as long as
    the step has not changed it.
    """

    def save_state(self) -> Snapshot:
        """Return everything needed to continue as if never interrupted."""
        ...

    def load_state(self, restored: Restored) -> None:
        """Take up the state that `save_state` returned."""
        ...

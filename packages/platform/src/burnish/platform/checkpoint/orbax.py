"""Array trees through orbax: sharded, written in the background, restored onto any mesh.

Orbax accepts a flipped bit, an absent metadata file and another dtype without a word, so the manager's
manifest is checked before it sees a directory, and shapes and dtypes are compared here.
"""

# orbax ships no stubs and its annotations are partial.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from burnish.platform.checkpoint.leaves import LeafSpec, named_leaves, place, rebuild, require_fit, spec_of
from burnish.platform.checkpoint.snapshot import Tree

if TYPE_CHECKING:
    import orbax.checkpoint as ocp

_ARRAYS = "arrays"
_LEAVES = "leaves.json"


class OrbaxBackend:
    """Hand trees to orbax's `AsyncCheckpointer`: `save` returns once the arrays are copied."""

    def save(self, path: Path, tree: Tree) -> None:
        """Begin to write `tree` under the new directory `path`, once earlier saves are complete."""
        import orbax.checkpoint as ocp

        path.mkdir(parents=True)
        leaves = named_leaves(tree)
        description = [[name, *_described(spec_of(leaf))] for name, leaf in leaves.items()]
        (path / _LEAVES).write_text(json.dumps(description), encoding="utf-8")
        arrays = {_key(at): _own(leaf) for at, leaf in enumerate(leaves.values()) if leaf.size}
        if not arrays:
            return
        self._checkpointer.save((path / _ARRAYS).absolute(), args=ocp.args.PyTreeSave(arrays))

    def load(self, path: Path, like: Tree) -> Tree:
        """Return the tree with the structure, shapes, dtypes and shardings of `like`."""
        import orbax.checkpoint as ocp

        description = json.loads((path / _LEAVES).read_text(encoding="utf-8"))
        require_fit({name: LeafSpec(tuple(shape), dtype) for name, shape, dtype in description}, like, path)
        leaves = named_leaves(like)
        keys = {name: _key(at) for at, (name, _, _) in enumerate(description) if leaves[name].size}
        # Orbax refuses arrays without elements: there is nothing in them to save.
        empty = {name: np.empty(leaf.shape, leaf.dtype) for name, leaf in leaves.items() if not leaf.size}
        if not keys:
            return rebuild(like, place(empty, like))
        arrays = self._checkpointer.restore(
            (path / _ARRAYS).absolute(),
            args=ocp.args.PyTreeRestore(
                item=dict.fromkeys(keys.values(), 0),
                restore_args={key: _restore_args(leaves[name]) for name, key in keys.items()},
            ),
        )
        return rebuild(like, {**place(empty, like), **{name: arrays[key] for name, key in keys.items()}})

    def wait(self) -> None:
        """Return when every earlier save is on disk; raise what went wrong in it."""
        if "_checkpointer" in self.__dict__:
            self._checkpointer.wait_until_finished()

    @cached_property
    def _checkpointer(self) -> "ocp.AsyncCheckpointer":
        import orbax.checkpoint as ocp

        return ocp.AsyncCheckpointer(ocp.PyTreeCheckpointHandler())


def _key(position: int) -> str:
    return f"leaf_{position:05d}"


def _described(spec: LeafSpec) -> tuple[list[int], str]:
    return list(spec.shape), spec.dtype


def _own(leaf: Any) -> Any:
    """Copy a numpy leaf: the caller may write into it while orbax still reads."""
    return leaf if isinstance(leaf, jax.Array) else np.array(leaf)


def _restore_args(leaf: Any) -> Any:
    import orbax.checkpoint as ocp

    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        return ocp.RestoreArgs(restore_type=np.ndarray, dtype=np.dtype(leaf.dtype))
    return ocp.ArrayRestoreArgs(sharding=sharding, global_shape=tuple(leaf.shape), dtype=np.dtype(leaf.dtype))

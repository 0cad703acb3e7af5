"""Array trees through orbax: sharded, written in the background, restored onto any mesh.

What lies under `arrays/` is orbax's own: another tool restores it as nested dicts whose keys are the tree's.
Orbax accepts a flipped bit, an absent metadata file and another dtype without a word, so the manager's
manifest is checked before it sees a directory, and shapes and dtypes are compared here.
"""

# orbax ships no stubs and its annotations are partial.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

import dataclasses
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jax
import numpy as np

from burnish.platform import atomic
from burnish.platform.checkpoint.leaves import (
    LeafSpec,
    leaf_keys,
    named_leaves,
    place,
    rebuild,
    require_fit,
    spec_of,
)
from burnish.platform.checkpoint.orbax_echoes import silence_echoes
from burnish.platform.checkpoint.snapshot import Tree
from burnish.platform.errors import CheckpointError

if TYPE_CHECKING:
    import orbax.checkpoint as ocp

_ARRAYS = "arrays"
_LEAVES = "leaves.json"
_FORMAT = 2
_WHOLE = "value"
"""The key of a tree that is one leaf."""


class OrbaxBackend:
    """Hand trees to orbax's `AsyncCheckpointer`: `save` returns once the arrays are copied."""

    def __init__(self) -> None:
        """Begin without a save on its way."""
        self._written: Path | None = None

    def save(self, path: Path, tree: Tree) -> None:
        """Begin to write `tree` under the new directory `path`, once earlier saves are complete."""
        import orbax.checkpoint as ocp

        leaves, keys = named_leaves(tree), _distinct_keys(tree)
        atomic.add_directory(path)
        atomic.write_file(path / _LEAVES, json.dumps(_description(leaves, keys)).encode())
        arrays = _nested({keys[name]: _own(leaf) for name, leaf in leaves.items() if leaf.size})
        if not arrays:
            return
        self._written = path
        with atomic.naming(path):
            self._checkpointer.save((path / _ARRAYS).absolute(), args=ocp.args.PyTreeSave(arrays))

    def load(self, path: Path, like: Tree) -> Tree:
        """Return the tree with the structure, shapes, dtypes and shardings of `like`."""
        import orbax.checkpoint as ocp

        saved = _read_description(path)
        specs = {name: LeafSpec(tuple(leaf["shape"]), leaf["dtype"]) for name, leaf in saved.items()}
        require_fit(specs, like, path)
        leaves = named_leaves(like)
        keys = {name: tuple(leaf["keys"]) for name, leaf in saved.items() if leaves[name].size}
        # Orbax refuses arrays without elements: there is nothing in them to save.
        empty = {name: np.empty(leaf.shape, leaf.dtype) for name, leaf in leaves.items() if not leaf.size}
        if not keys:
            return rebuild(like, place(empty, leaves))
        arrays = self._checkpointer.restore(
            (path / _ARRAYS).absolute(),
            args=ocp.args.PyTreeRestore(
                item=_nested(dict.fromkeys(keys.values(), 0)),
                restore_args=_nested({key: _restore_args(leaves[name]) for name, key in keys.items()}),
            ),
        )
        found = {name: _at(arrays, key) for name, key in keys.items()}
        return rebuild(like, {**place(empty, leaves), **found})

    def wait(self) -> None:
        """Return when every earlier save is on disk; raise what went wrong in it."""
        if self._written is not None:
            with atomic.naming(self._written):
                self._checkpointer.wait_until_finished()

    @cached_property
    def _checkpointer(self) -> "ocp.AsyncCheckpointer":
        import orbax.checkpoint as ocp

        silence_echoes()
        return ocp.AsyncCheckpointer(ocp.PyTreeCheckpointHandler())


def _distinct_keys(tree: Tree) -> dict[str, tuple[str, ...]]:
    """Return each leaf's keys; `CheckpointError` where two are one to orbax, which joins them by dots."""
    keys = {name: key or (_WHOLE,) for name, key in leaf_keys(tree).items()}
    taken: dict[str, str] = {}
    for name, key in keys.items():
        other = taken.setdefault(".".join(key), name)
        if other != name:
            raise CheckpointError(
                f"orbax cannot tell {other} from {name}: rename one, or use checkpoint.backend=msgpack"
            )
    return keys


def _description(leaves: Mapping[str, Any], keys: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    described = {
        name: {"keys": keys[name], **dataclasses.asdict(spec_of(leaf))} for name, leaf in leaves.items()
    }
    return {"format": _FORMAT, "leaves": described}


def _read_description(path: Path) -> dict[str, Any]:
    loaded: Any = json.loads((path / _LEAVES).read_text(encoding="utf-8"))
    description = cast("dict[str, Any]", {"format": 1} if isinstance(loaded, list) else loaded)
    if description["format"] != _FORMAT:
        raise CheckpointError(
            f"'{path}' has format {description['format']}, this version reads {_FORMAT}: "
            "install the version of burnish it was written with"
        )
    return description["leaves"]


def _nested(leaves: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for keys, leaf in leaves.items():
        node = tree
        for key in keys[:-1]:
            node = node.setdefault(key, {})
        node[keys[-1]] = leaf
    return tree


def _at(tree: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        tree = tree[key]
    return tree


def _own(leaf: Any) -> Any:
    """Copy a numpy leaf: the caller may write into it while orbax still reads."""
    return leaf if isinstance(leaf, jax.Array) else np.array(leaf)


def _restore_args(leaf: Any) -> Any:
    import orbax.checkpoint as ocp

    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        return ocp.RestoreArgs(restore_type=np.ndarray, dtype=np.dtype(leaf.dtype))
    return ocp.ArrayRestoreArgs(sharding=sharding, global_shape=tuple(leaf.shape), dtype=np.dtype(leaf.dtype))

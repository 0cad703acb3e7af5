"""The leaves of a tree by name, and whether what was saved fits what is asked for.

Named tuples, dataclasses and other nodes are not saved: a leaf's name is its path, the structure comes from
the likeness at loading.
"""

# jax's own annotations are partial, which strict mode reports at every use.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import jax
import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from burnish.platform.checkpoint.snapshot import Tree
from burnish.platform.errors import CheckpointError

_SHOWN = 3


@dataclass(frozen=True)
class LeafSpec:
    """Shape and dtype name of a saved leaf."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The dtype as numpy's, with bfloat16 and the like from ml_dtypes."""
        return np.dtype(getattr(ml_dtypes, self.dtype, self.dtype))

    def __str__(self) -> str:
        """Return `float32[2,3]`."""
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


def named_leaves(tree: Tree) -> dict[str, Any]:
    """Return the leaves by path, in the order of `jax.tree.leaves`; Python numbers become numpy arrays."""
    pairs, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): _as_array(leaf) for path, leaf in pairs}


def leaf_keys(tree: Tree) -> dict[str, tuple[str, ...]]:
    """Return the keys that lead to each leaf, as words, by the leaf's name."""
    pairs, _ = jax.tree_util.tree_flatten_with_path(tree)
    keystr = jax.tree_util.keystr
    return {keystr(path): tuple(keystr((entry,), simple=True) for entry in path) for path, _ in pairs}


def spec_of(leaf: Any) -> LeafSpec:
    """Return the shape and dtype of an array or of anything like one."""
    return LeafSpec(tuple(int(size) for size in leaf.shape), np.dtype(leaf.dtype).name)


def rebuild(like: Tree, leaves: Mapping[str, Any]) -> Tree:
    """Return a tree with the structure of `like` and the leaves of `leaves`."""
    _, structure = jax.tree_util.tree_flatten_with_path(like)
    return jax.tree_util.tree_unflatten(structure, [leaves[name] for name in named_leaves(like)])


def require_fit(saved: Mapping[str, LeafSpec], like: Tree, path: Path) -> None:
    """Raise `CheckpointError` naming the first leaves in which `saved` and `like` differ."""
    wanted = {name: spec_of(leaf) for name, leaf in named_leaves(like).items()}
    problems = [f"{name} is missing" for name in wanted.keys() - saved.keys()]
    problems += [f"{name} is not asked for" for name in saved.keys() - wanted.keys()]
    problems += [
        f"{name} is {saved[name]}, expected {wanted[name]}"
        for name in wanted.keys() & saved.keys()
        if saved[name] != wanted[name]
    ]
    if problems:
        shown = "; ".join(sorted(problems)[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise CheckpointError(
            f"checkpoint '{path}' does not fit: {shown}{more}; "
            "use the model and optimizer settings it was saved with"
        )


def place(arrays: Mapping[str, NDArray[Any]], likenesses: Mapping[str, Any]) -> dict[str, Any]:
    """Put each array onto the sharding of its likeness, where it has one."""
    placed: dict[str, Any] = dict(arrays)
    shardings = {name: getattr(likenesses[name], "sharding", None) for name in arrays}
    on_device = [name for name, sharding in shardings.items() if sharding is not None]
    values = jax.device_put([arrays[name] for name in on_device], [shardings[name] for name in on_device])
    placed.update(zip(on_device, cast("list[Any]", values), strict=True))
    return placed


def _as_array(leaf: Any) -> Any:
    return np.asarray(leaf) if isinstance(leaf, bool | int | float | np.generic) else leaf

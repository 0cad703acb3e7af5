"""A checkpoint's parameters as a model: masters of either type, in the dtype and place that is asked for."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from burnish.llm.families.parameters import leaves_by_path, nest
from burnish.llm.families.protocol import CausalLM
from burnish.llm.placement import cast
from burnish.platform.checkpoint.manifest import Verified
from burnish.platform.checkpoint.step_directory import read_tree
from burnish.platform.errors import CheckpointError


def load_checkpoint(checkpoint: Verified, model: CausalLM, like: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a checkpoint that `like` asks for, see `burnish.llm.bundle.Load`."""
    return load_tree(checkpoint, "params", model.abstract, like)


def load_tree(
    checkpoint: Verified, name: str, abstract: Callable[[str], Any], like: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the leaves that `like` asks for of a tree whose shapes `abstract` gives in a dtype.

    They are restored in the dtype of their masters where they are to lie, and then cast one by one. Those
    that are not asked for are read onto the host and dropped.
    """
    asked = leaves_by_path(like)
    saved = leaves_by_path(_masters(checkpoint, name, abstract, asked))
    return nest({path: _as_asked(saved.pop(path), likeness) for path, likeness in asked.items()})


def _masters(
    checkpoint: Verified,
    name: str,
    abstract: Callable[[str], Any],
    asked: Mapping[tuple[str, ...], Any],
) -> Any:
    """Return all leaves as they were saved, those that are asked for where they are to lie."""

    def like(dtype: str) -> Any:
        leaves = leaves_by_path(abstract(dtype))
        places = {path: getattr(asked.get(path), "sharding", None) for path in leaves}
        return nest(
            {
                path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=places[path])
                for path, leaf in leaves.items()
            }
        )

    try:
        return read_tree(checkpoint, name, like("float32"))
    except CheckpointError as error:
        try:
            return read_tree(checkpoint, name, like("bfloat16"))
        except CheckpointError:
            raise error from None


def _as_asked(leaf: Any, likeness: jax.ShapeDtypeStruct) -> Any:
    return leaf.astype(likeness.dtype) if isinstance(leaf, np.ndarray) else cast(leaf, likeness)

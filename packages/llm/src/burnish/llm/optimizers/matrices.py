"""What optimizers ask of a model's matrices: which leaves decay, and which dims are one matrix."""

from collections.abc import Callable
from typing import Any

import jax
import optax

from burnish.llm.families.matrix_dims import flat, folded
from burnish.llm.families.protocol import LAYERS, CausalLM, MatrixDims, Path
from burnish.llm.lora.low_rank import ADAPTERS


def is_of_layers(path: Path) -> bool:
    """Say whether a leaf is of the layers, or of the low-rank updates beside their matrices."""
    return (path[1:] if path[0] == ADAPTERS else path)[0] == LAYERS


def path_of(keys: tuple[Any, ...]) -> Path:
    """Return the path of a leaf as a model names it."""
    return tuple(str(getattr(key, "key", key)) for key in keys)


def decay_mask(model: CausalLM) -> Callable[[Any], Any]:
    """Return a function from parameters to a tree of booleans: True for matrices, embedding and head too.

    Norms, biases and other vectors do not decay.
    """
    matrices = model.matrices
    return lambda params: jax.tree_util.tree_map_with_path(lambda keys, _: path_of(keys) in matrices, params)


def hidden_matrices(model: CausalLM) -> dict[Path, MatrixDims]:
    """Return the matrices of the layers and of their updates, which are neither embedding nor head."""
    return {path: dims for path, dims in model.matrices.items() if is_of_layers(path)}


def dims_of_one(model: CausalLM, path: Path, num_dims: int) -> tuple[int, ...]:
    """Return the dims of one matrix or vector of a leaf; the others count layers and experts."""
    if path in model.matrices:
        inputs, outputs = model.matrices[path]
        return (*inputs, *outputs)
    return tuple(range(is_of_layers(path), num_dims))


def as_matrices(inner: optax.GradientTransformation, model: CausalLM) -> optax.GradientTransformation:
    """Return `inner` over leaves in which each matrix has two dims, those that count matrices first.

    Vectors of all layers are one, so that none is taken for a matrix.
    """
    matrices = model.matrices

    def flattened(tree: Any) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda keys, leaf: flat(leaf, matrices.get(path_of(keys))), tree
        )

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        found, state = inner.update(flattened(updates), state, None if params is None else flattened(params))
        return jax.tree_util.tree_map_with_path(
            lambda keys, leaf, like: folded(leaf, like.shape, matrices.get(path_of(keys))), found, updates
        ), state

    return optax.GradientTransformation(lambda params: inner.init(flattened(params)), update)

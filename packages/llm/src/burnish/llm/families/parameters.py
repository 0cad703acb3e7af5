"""Parameters declared once in a module: shape, logical axes, Hugging Face name, initial value.

A family's modules hold `flax.nnx.Param`s without values; this file turns them into the abstract tree, the
tree of logical axes, the table of names and fresh numpy parameters.
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from flax import nnx

from burnish.llm.families.protocol import MatrixDims, Path
from burnish.llm.families.tensor_name import TensorName


@dataclass(frozen=True)
class Parameter:
    """One leaf of the parameter tree; `initial` is a constant, or None for a normal distribution."""

    shape: tuple[int, ...]
    axes: tuple[str, ...]
    name: TensorName
    initial: float | None
    is_lookup: bool = False
    """Whether it is a table whose rows are looked up, so that its first dim is the input."""

    @property
    def matrix(self) -> MatrixDims | None:
        """The dims of its matrices; None where it holds vectors."""
        first = self.name.num_stacked
        dims = tuple(range(first, len(self.shape)))
        num_input_dims = self.name.num_input_dims
        if len(dims) < 2 or num_input_dims == 0:
            return None
        if num_input_dims is None:  # as Hugging Face stores it, outputs first
            return MatrixDims(dims[:1], dims[1:]) if self.is_lookup else MatrixDims(dims[1:], dims[:1])
        return MatrixDims(dims[:num_input_dims], dims[num_input_dims:])

    def stacked(self, num_layers: int) -> "Parameter":
        """Return the leaf that holds this parameter of every layer."""
        return replace(self, shape=(num_layers, *self.shape), axes=("layers", *self.axes))


def declare(
    shape: tuple[int, ...],
    axes: tuple[str, ...],
    template: str,
    *,
    num_input_dims: int | None = None,
    rows: tuple[int, int] | None = None,
    initial: float | None = None,
    is_lookup: bool = False,
) -> nnx.Param[Any]:
    """Return a parameter without a value that carries its declaration."""
    name = TensorName(template, num_input_dims, rows=rows)
    declaration = Parameter(shape, axes, name, initial, is_lookup)
    return nnx.Param(jax.ShapeDtypeStruct(shape, np.float32), declaration=declaration)


def declarations(module: nnx.Module) -> dict[Path, Parameter]:
    """Return every parameter of a module by its path."""
    flat = nnx.to_flat_state(nnx.state(module, nnx.Param))
    return {tuple(map(str, path)): variable.get_metadata()["declaration"] for path, variable in flat}


def nest(leaves: Mapping[Path, Any]) -> dict[str, Any]:
    """Return the nested dict of leaves given by path."""
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        node = tree
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = leaf
    return tree


def leaves_by_path(tree: Mapping[str, Any]) -> dict[Path, Any]:
    """Return the leaves of nested dicts by path, as `nest` takes them, in the order of `jax.tree.leaves`."""
    found: dict[Path, Any] = {}
    for key in sorted(tree):
        if isinstance(tree[key], Mapping):
            found |= {(key, *path): leaf for path, leaf in leaves_by_path(tree[key]).items()}
        else:
            found[key,] = tree[key]
    return found


def initial_value(path: Path, parameter: Parameter, seed: int, scale: float) -> np.ndarray:
    """Return a fresh fp32 array; its random stream is named by seed and path, so leaves are independent."""
    if parameter.initial is not None:
        return np.full(parameter.shape, parameter.initial, np.float32)
    generator = np.random.default_rng([seed, zlib.crc32("/".join(path).encode())])
    values = generator.standard_normal(math.prod(parameter.shape), dtype=np.float32)
    return values.reshape(parameter.shape) * np.float32(scale)

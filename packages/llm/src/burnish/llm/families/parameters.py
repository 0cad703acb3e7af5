"""Parameters declared once in a module: shape, logical axes, Hugging Face name, initial value.

A family's modules hold `flax.nnx.Param`s without values; this file turns them into the abstract tree, the
tree of logical axes, the table of names and fresh numpy parameters.
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax import nnx

from burnish.llm.families.tensor_name import TensorName

Path = tuple[str, ...]


@dataclass(frozen=True)
class Parameter:
    """One leaf of the parameter tree; `initial` is a constant, or None for a normal distribution."""

    shape: tuple[int, ...]
    axes: tuple[str, ...]
    name: TensorName
    initial: float | None

    def stacked(self, num_layers: int) -> "Parameter":
        """Return the leaf that holds this parameter of every layer."""
        return Parameter((num_layers, *self.shape), ("layers", *self.axes), self.name, self.initial)


def declare(
    shape: tuple[int, ...],
    axes: tuple[str, ...],
    template: str,
    *,
    num_input_dims: int | None = None,
    rows: tuple[int, int] | None = None,
    initial: float | None = None,
) -> nnx.Param[Any]:
    """Return a parameter without a value that carries its declaration."""
    declaration = Parameter(shape, axes, TensorName(template, num_input_dims, rows=rows), initial)
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


def initial_value(path: Path, parameter: Parameter, seed: int, scale: float) -> np.ndarray:
    """Return a fresh fp32 array; its random stream is named by seed and path, so leaves are independent."""
    if parameter.initial is not None:
        return np.full(parameter.shape, parameter.initial, np.float32)
    generator = np.random.default_rng([seed, zlib.crc32("/".join(path).encode())])
    values = generator.standard_normal(math.prod(parameter.shape), dtype=np.float32)
    return values.reshape(parameter.shape) * np.float32(scale)

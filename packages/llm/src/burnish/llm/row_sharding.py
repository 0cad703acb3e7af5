"""Activations that stay with their rows: what a trace tells the compiler of where they lie.

Left to itself it may split hidden states as the embedding's width is split over `fsdp`: each device then
holds every row, and sums of activations, logits among them, cross devices in place of parameters.
"""

from __future__ import annotations

import math
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import Array

ROWS = ("dp", "fsdp")
"""Mesh axes that rows are spread over."""


def on_mesh(mesh: Mesh) -> Any:
    """Return a context: what is traced within may say how it lies on the mesh."""
    return jax.sharding.use_abstract_mesh(mesh.abstract_mesh)


def by_rows(array: Array, dim: int = 0) -> Array:
    """Return an array whose rows, at `dim`, are spread over the devices of the mesh that is traced for.

    It is the array itself outside `on_mesh`, where rows do not divide, and within a `shard_map` over them.
    """
    mesh = jax.sharding.get_abstract_mesh()
    types = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    axes = tuple(name for name in ROWS if types.get(name) == AxisType.Auto and mesh.shape[name] > 1)
    if not axes or array.shape[dim] % math.prod(mesh.shape[name] for name in axes):
        return array
    return jax.lax.with_sharding_constraint(array, PartitionSpec(*[None] * dim, axes))

"""Activations that stay with their rows: what a trace tells the compiler of where they lie.

Left to itself it may split hidden states as the embedding's width is split over `fsdp`: each device then
holds every row, and sums of activations, logits among them, cross devices in place of parameters. What sorts
tokens it computes of all devices' tokens, unless each is told to compute its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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
    axes = _dividing(array.shape[dim])
    return jax.lax.with_sharding_constraint(array, PartitionSpec(*[None] * dim, axes)) if axes else array


def each_on_its_rows(function: Callable[..., Any], rows: Array, *whole: Any) -> Any:
    """Return `function(rows, *whole)`, of which each device of the mesh traced for computes its own rows.

    Rows come first in all that the function returns, and none needs another. Each device gathers `whole`, and
    gradients of it are summed over devices; other axes of the mesh are left to the compiler. It is a plain
    call where `by_rows` gives the array itself.
    """
    axes = _dividing(rows.shape[0])
    if not axes:
        return function(rows, *whole)
    own, everywhere = PartitionSpec(axes), [PartitionSpec()] * len(whole)
    # Of loops and of gradients by hand JAX cannot tell which values are alike on all devices.
    on_each = jax.shard_map(
        function, in_specs=(own, *everywhere), out_specs=own, axis_names=set(axes), check_vma=False
    )
    return on_each(rows, *whole)


def _dividing(num_rows: int) -> tuple[str, ...]:
    """Return the axes of the mesh that is traced for that so many rows are spread over; none if unevenly."""
    mesh = jax.sharding.get_abstract_mesh()
    types = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    axes = tuple(name for name in ROWS if types.get(name) == AxisType.Auto and mesh.shape[name] > 1)
    return () if num_rows % math.prod(mesh.shape[name] for name in axes) else axes

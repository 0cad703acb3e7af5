"""The table from logical axes to mesh axes, and the shardings that follow from it.

The mesh has three axes: `dp` repeats the parameters, `fsdp` splits them and the batch, `tp` splits heads, MLP
and vocabulary. Experts are spread over `fsdp`, and each is split by `tp` as an MLP is. A dim that its mesh
axes do not divide stays whole.
"""

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from burnish.llm.families.protocol import CausalLM
from burnish.llm.row_sharding import ROWS

RULES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "rows": ROWS,
        "embed": ("fsdp",),
        "vocab": ("tp",),
        "heads": ("tp",),
        "kv_heads": ("tp",),
        "experts": ("fsdp",),
        "mlp": ("tp",),
    }
)
"""Mesh axes of each logical axis; one that is not listed is never split."""


def partition_spec(axes: tuple[str, ...], shape: tuple[int, ...], mesh: Mesh) -> PartitionSpec:
    """Return how an array of these logical axes lies on the mesh; a mesh axis splits one dim at most."""
    return PartitionSpec(*(taken for _, taken in _divided(axes, shape, mesh)))


def undivided(axes: tuple[str, ...], shape: tuple[int, ...], mesh: Mesh) -> list[str]:
    """Return in words the dims whose mesh axes do not divide them, and split no other dim either."""
    dims = list(zip(axes, shape, _divided(axes, shape, mesh), strict=True))
    used = {name for _, _, (_, taken) in dims for name in taken or ()}
    return [
        f"{axis} {size} over {' x '.join(f'{name} {mesh.shape[name]}' for name in wanted)}"
        for axis, size, (wanted, _) in dims
        if not used.issuperset(wanted)
    ]


def _divided(
    axes: tuple[str, ...], shape: tuple[int, ...], mesh: Mesh
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...] | None]]:
    """Yield for each dim the mesh axes that would split it, and those that do: the same, or None."""
    if len(axes) != len(shape):
        raise ValueError(f"axes {axes} name {len(axes)} dims, the shape {shape} has {len(shape)}")
    used: set[str] = set()
    for axis, size in zip(axes, shape, strict=True):
        wanted = tuple(name for name in RULES.get(axis, ()) if mesh.shape[name] > 1 and name not in used)
        divides = bool(wanted) and size % math.prod(mesh.shape[name] for name in wanted) == 0
        used.update(wanted if divides else ())
        yield wanted, wanted if divides else None


def parameter_shardings(model: CausalLM, mesh: Mesh) -> dict[str, Any]:
    """Return the tree of shardings of a model's parameters."""
    return shardings_of(model.abstract("float32"), model.logical_axes, mesh)


def likeness_of(model: CausalLM, dtype: Any, mesh: Mesh) -> dict[str, Any]:
    """Return the tree of shapes, dtype and places of a model's parameters, as loading takes it."""
    return jax.tree.map(lying, model.abstract(dtype), parameter_shardings(model, mesh))


def lying(leaf: jax.ShapeDtypeStruct, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    """Return the likeness of an array that lies so on its devices."""
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def shardings_of(abstract: Any, logical_axes: Any, mesh: Mesh) -> dict[str, Any]:
    """Return the tree of shardings of arrays of these shapes and logical axes."""
    leaves, structure = jax.tree.flatten(abstract)
    axes = structure.flatten_up_to(logical_axes)
    shardings = [
        NamedSharding(mesh, partition_spec(names, leaf.shape, mesh))
        for names, leaf in zip(axes, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, shardings)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return the sharding of a batch: rows over `dp` and `fsdp`, whose product has to divide them."""
    return NamedSharding(mesh, PartitionSpec(RULES["rows"]))


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding of what every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())

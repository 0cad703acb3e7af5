"""Where the arrays of an optimizer's state lie, whatever optimizer it is."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from burnish.llm.sharding import replicated

Leaf = tuple[jax.ShapeDtypeStruct, NamedSharding]


def optimizer_shardings(opt_state: Any, params: Any, shardings: Any, mesh: Mesh) -> Any:
    """Return the shardings of an abstract state, given shapes and shardings of the parameters.

    An array belongs to a parameter where its path ends with the parameter's. One of its shape lies as it;
    one of some of its dims, as a factored moment, lies as the dims it keeps, if it is clear which they are.
    All others are replicated.
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    of_params: dict[tuple[Any, ...], Leaf] = {
        tuple(keys): (leaf, sharding)
        for (keys, leaf), sharding in zip(leaves, jax.tree.leaves(shardings), strict=True)
    }
    return jax.tree_util.tree_map_with_path(
        lambda keys, moment: _lies(moment, _parameter_of(keys, of_params), mesh), opt_state
    )


def _parameter_of(keys: tuple[Any, ...], of_params: Mapping[tuple[Any, ...], Leaf]) -> Leaf | None:
    """Return the parameter with the longest path that the keys end with."""
    ends = (keys[start:] for start in range(len(keys)))
    return next((of_params[end] for end in ends if end in of_params), None)


def _lies(moment: jax.ShapeDtypeStruct, parameter: Leaf | None, mesh: Mesh) -> NamedSharding:
    if parameter is None:
        return replicated(mesh)
    leaf, sharding = parameter
    if moment.shape == leaf.shape:
        return sharding
    axes = (*sharding.spec, *[None] * (len(leaf.shape) - len(sharding.spec)))
    kept = {
        tuple(axes[dim] for dim in dims)
        for dims in itertools.combinations(range(len(leaf.shape)), len(moment.shape))
        if tuple(leaf.shape[dim] for dim in dims) == moment.shape
    }
    return NamedSharding(mesh, PartitionSpec(*kept.pop())) if len(kept) == 1 else replicated(mesh)

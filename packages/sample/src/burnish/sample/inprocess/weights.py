"""Bringing weights to where the engine computes: not at all, from the host, or by one compiled reshard."""

from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P


def place(params: Any, dtype: np.dtype[Any], mesh: Mesh) -> tuple[Any, int]:
    """Return `params` in `dtype` with a whole copy on every device, and the bytes that were moved.

    Device arrays that are so already are taken as they are: the same buffers, 0 bytes. Other device
    arrays go through one jitted cast and reshard, host arrays through one transfer.
    """
    sharding = NamedSharding(mesh, P())
    leaves = jax.tree.leaves(params)
    if all(isinstance(leaf, jax.Array) for leaf in leaves):
        if all(
            leaf.dtype == dtype and leaf.sharding.is_equivalent_to(sharding, leaf.ndim) for leaf in leaves
        ):
            return jax.device_put(params, sharding), 0
        placed = _replicate(params, dtype, sharding)
    else:
        placed = jax.device_put(jax.tree.map(lambda leaf: np.asarray(leaf).astype(dtype), params), sharding)
    return placed, mesh.size * sum(leaf.nbytes for leaf in jax.tree.leaves(placed))


@partial(jax.jit, static_argnums=(1, 2))
def _replicate(params: Any, dtype: np.dtype[Any], sharding: jax.sharding.Sharding) -> Any:
    cast = jax.tree.map(lambda leaf: leaf.astype(dtype), params)
    return jax.lax.with_sharding_constraint(cast, sharding)

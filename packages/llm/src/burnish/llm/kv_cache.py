"""The key-value cache: one preallocated pair of arrays for all layers, indexed by position."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class KVCache(NamedTuple):
    """Keys and values of all layers; index `s` of a row holds the token at position `s`."""

    keys: Float[Array, "l b s n k"]
    values: Float[Array, "l b s n k"]

    @property
    def length(self) -> int:
        """Positions a row has room for."""
        return self.keys.shape[2]


def empty_cache(shape: tuple[int, int, int, int, int], dtype: Any) -> KVCache:
    """Return a zeroed cache of shape (l, b, s, n, k).

    What lies beyond a row's position is never read, so a slot need not be cleared before it is used again.
    """
    return KVCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))


def write_indices(
    positions: Int[Array, "b t"], segment_ids: Int[Array, "b t"], length: int
) -> Int[Array, "b t"]:
    """Return the cache index of each token: its position, or past the end (dropped) for padding."""
    return jnp.where(segment_ids > 0, positions, length)


def write_layer(
    cache: KVCache,
    layer: Int[Array, ""],
    indices: Int[Array, "b t"],
    keys: Float[Array, "b t n k"],
    values: Float[Array, "b t n k"],
) -> KVCache:
    """Write one layer's new keys and values; an index outside the cache is dropped."""
    rows = jnp.arange(indices.shape[0])[:, None]
    return KVCache(
        cache.keys.at[layer, rows, indices].set(keys.astype(cache.keys.dtype), mode="drop"),
        cache.values.at[layer, rows, indices].set(values.astype(cache.values.dtype), mode="drop"),
    )

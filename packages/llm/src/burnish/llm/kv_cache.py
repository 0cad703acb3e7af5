"""The key-value cache: a preallocated pair of arrays per layer, indexed by position."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from burnish.llm.attention import QKV, AttentionSpec, Span, masked_attention


class KVCache(NamedTuple):
    """Keys and values of each layer; index `s` of a row holds the token at position `s`."""

    keys: tuple[Float[Array, "b n s k"], ...]
    values: tuple[Float[Array, "b n s k"], ...]

    @property
    def length(self) -> int:
        """Positions a row has room for."""
        return self.keys[0].shape[2]

    def attend(
        self, layer: int, qkv: QKV, span: Span, spec: AttentionSpec
    ) -> tuple[Float[Array, "b t h k"], "KVCache"]:
        """Write one layer's new keys and values; return what its queries find in the rows, and the cache.

        Each row is one sequence. What is of segment 0, padding, is not written; a token attends to every
        index up to its position, or to the last `spec.window` of them.
        """
        indices = jnp.where(span.segment_ids > 0, span.positions, self.length)  # past the end is dropped
        keys = _written(self.keys[layer], indices, qkv.keys)
        values = _written(self.values[layer], indices, qkv.values)
        mask = cache_mask(span.positions, self.length, spec.window)
        context = masked_attention(QKV(qkv.queries, keys, values), mask, spec, "bnsk")
        return context, KVCache(_replaced(self.keys, layer, keys), _replaced(self.values, layer, values))


def empty_cache(num_layers: int, shape: tuple[int, int, int, int], dtype: Any) -> KVCache:
    """Return a zeroed cache with arrays of shape (b, n, s, k).

    What lies beyond a row's position is never read, so a slot need not be cleared before it is used again.
    """
    keys, values = (tuple(jnp.zeros(shape, dtype) for _ in range(num_layers)) for _ in range(2))
    return KVCache(keys, values)


def cache_mask(positions: Int[Array, "b t"], length: int, window: int | None = None) -> Bool[Array, "b t s"]:
    """Return which cache indices a token attends to."""
    indices = jnp.arange(length)[None, None, :]
    attend = indices <= positions[:, :, None]
    return attend if window is None else attend & (indices > positions[:, :, None] - window)


def _written(
    cached: Float[Array, "b n s k"], indices: Int[Array, "b t"], new: Float[Array, "b t n k"]
) -> Float[Array, "b n s k"]:
    rows = jnp.arange(indices.shape[0])[:, None]
    return cached.at[rows, :, indices].set(new.astype(cached.dtype), mode="drop")


def _replaced(arrays: tuple[Array, ...], index: int, array: Array) -> tuple[Array, ...]:
    return (*arrays[:index], array, *arrays[index + 1 :])

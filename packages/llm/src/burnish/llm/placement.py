"""Parameters brought to where they lie: small ones in one go, large ones piece by piece into zeros.

A likeness (`jax.ShapeDtypeStruct`) says of an array its shape, its dtype and its sharding. A large array is
never whole on the host: each device fills its own share in place, so that the host holds one piece at a time.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from burnish.llm.families.parameters import leaves_by_path, nest
from burnish.llm.tensor_layout import leaf_at

ASSEMBLED_BYTES = 1 << 24
"""An array of so many bytes at most is put together on the host."""

Index = tuple[int | slice, ...]
Box = tuple[tuple[int, int], ...]
"""The first index and the one after the last, of each dim."""


def filled(likeness: jax.ShapeDtypeStruct, pieces: Iterable[tuple[Index, np.ndarray]]) -> Any:
    """Return the array that pieces make up, of floats that are rounded to fp32 and then to its dtype.

    Each piece is asked for when those before it are in their place. Without a sharding it is a numpy array.
    """
    num_bytes = likeness.size * likeness.dtype.itemsize
    if likeness.sharding is not None and num_bytes > ASSEMBLED_BYTES:
        return _filled_on_devices(likeness, pieces)
    whole = np.empty(likeness.shape, likeness.dtype)
    for index, values in pieces:
        whole[index] = values.astype(np.float32, copy=False)
    return whole if likeness.sharding is None else jax.device_put(whole, likeness.sharding)


def place_params(params: Mapping[str, Any], like: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays of a tree that `like` asks for, as it says; nothing shares a buffer with `params`."""
    return nest(
        {
            path: filled(likeness, [((), np.asarray(leaf_at(params, path)))])
            for path, likeness in leaves_by_path(like).items()
        }
    )


def cast(leaf: jax.Array, likeness: jax.ShapeDtypeStruct) -> jax.Array:
    """Return an array in the dtype and place of its likeness: the very array where it is so already."""
    lies_so = leaf.sharding.is_equivalent_to(likeness.sharding, leaf.ndim)
    if lies_so and leaf.dtype == likeness.dtype:
        return leaf
    return _casting(likeness.dtype, likeness.sharding)(leaf)


@functools.cache
def _casting(dtype: Any, sharding: Any) -> Any:
    return jax.jit(lambda leaf: leaf.astype(dtype), out_shardings=sharding)


def _filled_on_devices(
    likeness: jax.ShapeDtypeStruct, pieces: Iterable[tuple[Index, np.ndarray]]
) -> jax.Array:
    """Return a sharded array; each device is given the part of a piece that lies on it, and no other."""
    shape, sharding = likeness.shape, likeness.sharding
    assert sharding is not None, "an array on devices has a sharding"
    zeros = _zeros(shape, likeness.dtype, sharding)()
    shares = {shard.device: _box(shard.index, shape) for shard in zeros.addressable_shards}
    shards = {shard.device: shard.data for shard in zeros.addressable_shards}
    del zeros
    for index, values in pieces:
        piece = _box(index, shape)
        block = _floats(values).reshape([stop - start for start, stop in piece])
        for device, share in shares.items():
            common = [(max(a, c), min(b, d)) for (a, b), (c, d) in zip(piece, share, strict=True)]
            if all(start < stop for start, stop in common):
                part = block[tuple(slice(a - c, b - c) for (a, b), (c, _) in zip(common, piece, strict=True))]
                starts = [start - first for (start, _), (first, _) in zip(common, share, strict=True)]
                shards[device] = _write(shards[device], part, np.array(starts, np.int32))
        # Calls return before they are done and would keep the pieces that they have not read yet.
        jax.block_until_ready(list(shards.values()))
    return jax.make_array_from_single_device_arrays(shape, sharding, list(shards.values()))


@functools.cache
def _zeros(shape: tuple[int, ...], dtype: Any, sharding: Any) -> Any:
    return jax.jit(lambda: jnp.zeros(shape, dtype), out_shardings=sharding)


@functools.partial(jax.jit, donate_argnums=0)
def _write(shard: jax.Array, part: jax.Array, starts: jax.Array) -> jax.Array:
    rounded = part.astype(jnp.float32).astype(shard.dtype)
    return lax.dynamic_update_slice(shard, rounded, starts)


def _floats(values: np.ndarray) -> np.ndarray:
    """Return what a device takes as it is: fp32 or bfloat16, which it widens exactly."""
    return values if values.dtype == jnp.bfloat16 else values.astype(np.float32, copy=False)


def _box(index: Index, shape: tuple[int, ...]) -> Box:
    entries = (*index, *[slice(None)] * (len(shape) - len(index)))
    return tuple(
        (entry, entry + 1) if isinstance(entry, int) else entry.indices(size)[:2]
        for entry, size in zip(entries, shape, strict=True)
    )

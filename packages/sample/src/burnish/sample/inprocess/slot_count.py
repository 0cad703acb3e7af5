"""How many slots a call gets where nobody says: as many as it has requests, in few different shapes."""

import jax
import numpy as np

from burnish.sample.inprocess.state import EngineShape

MOST_PER_DEVICE = 256
"""Rows that a device decodes side by side at most; requests beyond them wait for a free slot."""

CACHE_SHARE = 4
"""The caches of slots and of prompts on their way to them take at most one part in this many of a device's
memory, where that is known."""


def slots_for(num_requests: int, num_shards: int, most_per_device: int = MOST_PER_DEVICE) -> int:
    """Return the slots of a call with so many requests, a multiple of `num_shards` devices.

    Per device that is 4 to 8 times a power of two, or fewer than 4: at most a quarter more than there are
    requests, and four shapes for each doubling of their number. It never exceeds `most_per_device`.
    """
    rows = min(max(1, -(-num_requests // num_shards)), most_per_device)
    step = 1 << max(0, (rows - 1).bit_length() - 3)
    return num_shards * min(-(-rows // step) * step, most_per_device)


def most_per_device(shape: EngineShape) -> int:
    """Return how many slots a device may hold, by the bytes that the cache of one takes."""
    cache = jax.eval_shape(lambda: shape.model.init_cache(1, shape.length, shape.dtype))
    bytes_per_slot = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(cache))
    limit = _memory_bytes(shape)
    if limit is None:
        return MOST_PER_DEVICE
    rows, prompts = limit // CACHE_SHARE // bytes_per_slot, -(-shape.prefill_rows // shape.num_row_shards)
    return int(np.clip(max(rows - prompts, rows // 2), 1, MOST_PER_DEVICE))


def _memory_bytes(shape: EngineShape) -> int | None:
    """Return the memory of the mesh's smallest device; None where no device tells, as on a CPU."""
    stats = [device.memory_stats() or {} for device in shape.mesh.local_devices]
    return min((int(entry["bytes_limit"]) for entry in stats if "bytes_limit" in entry), default=None)

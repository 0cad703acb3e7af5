"""Cutting a batch's rows into micro-batches and putting back together what was computed of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from burnish.llm.batch import TokenBatch
from burnish.llm.sharding import batch_sharding, replicated
from burnish.platform.errors import ConfigError


def split_rows(batch: TokenBatch, micro_batch_rows: int, mesh: Mesh) -> TokenBatch:
    """Cut [b ...] into [m, micro_batch_rows, ...]; no row leaves its device.

    What is no row, scalars and the words of noise, is left out: `with_scalars` gives it to each micro-batch.
    """
    num_shards = row_shards(mesh)
    sharding = NamedSharding(mesh, PartitionSpec(None, *batch_sharding(mesh).spec))

    def split(array: Array) -> Array:
        num_rows, *rest = array.shape
        num_micro_batches = num_rows // micro_batch_rows
        local = array.reshape(num_shards, num_micro_batches, micro_batch_rows // num_shards, *rest)
        micro_batches = jnp.swapaxes(local, 0, 1).reshape(num_micro_batches, micro_batch_rows, *rest)
        return lax.with_sharding_constraint(micro_batches, sharding)

    return jax.tree.map(split, replace(batch, scalars={}, noise_words=None))


def with_scalars(micro_batch: TokenBatch, batch: TokenBatch) -> TokenBatch:
    """Return a micro-batch with what `batch` holds beside its rows."""
    return replace(micro_batch, scalars=batch.scalars, noise_words=batch.noise_words)


def join_rows(columns: Any, mesh: Mesh) -> Any:
    """Put columns [m, micro_batch_rows, ...] back as [b ...], in the rows' own order."""
    num_shards = row_shards(mesh)

    def join(array: Array) -> Array:
        num_micro_batches, num_rows, *rest = array.shape
        local = array.reshape(num_micro_batches, num_shards, num_rows // num_shards, *rest)
        rows = jnp.swapaxes(local, 0, 1).reshape(num_micro_batches * num_rows, *rest)
        return lax.with_sharding_constraint(rows, batch_sharding(mesh))

    return jax.tree.map(join, columns)


def place(batch: TokenBatch, mesh: Mesh) -> TokenBatch:
    """Put a batch onto the mesh: rows divided, everything else on every device."""
    rows = jax.device_put(replace(batch, scalars={}, noise_words=None), batch_sharding(mesh))
    scalars = {name: np.float32(value) for name, value in batch.scalars.items()}
    others = jax.device_put((scalars, batch.noise_words), replicated(mesh))
    return replace(rows, scalars=others[0], noise_words=others[1])


def row_shards(mesh: Mesh) -> int:
    """Return the number of devices that the rows of a batch are divided over."""
    return math.prod(mesh.shape[axis] for axis in batch_sharding(mesh).spec[0])


def check_rows(num_rows: int, micro_batch_rows: int | str, num_shards: int) -> int:
    """Return the rows of a micro-batch, or raise `ConfigError` with the numbers that would divide.

    `num_shards` is dp * fsdp, the devices that the rows of each micro-batch are divided over.
    """
    rows = num_rows if micro_batch_rows == "all" else int(micro_batch_rows)
    if num_rows % num_shards:
        below, above = num_rows // num_shards * num_shards, (num_rows // num_shards + 1) * num_shards
        legal = f"{below} or {above}" if below else f"{above}"
        raise ConfigError(
            f"a batch of {num_rows} rows cannot be divided over jax.mesh.dp * jax.mesh.fsdp = {num_shards} "
            f"devices; {legal} rows could"
        )
    if rows < 1 or num_rows % rows or rows % num_shards:
        legal = ", ".join(str(n) for n in range(num_shards, num_rows + 1, num_shards) if num_rows % n == 0)
        raise ConfigError(
            f"micro_batch_rows={micro_batch_rows} cannot divide a batch of {num_rows} rows on "
            f"dp * fsdp = {num_shards} devices; legal values: {legal}, all"
        )
    return rows

"""What training would take, said before anything is allocated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from burnish.llm.batch import TokenBatch
from burnish.llm.micro_batches import check_rows, row_shards
from burnish.llm.train_state import StateLayout


def training_plan(
    layout: StateLayout, batch: TokenBatch, micro_batch_rows: int | str
) -> Mapping[str, int | float | str]:
    """Return the arithmetic of one update's batch and the memory that it and the state take, in words."""
    num_rows, length = batch.tokens.shape
    shards = row_shards(layout.mesh)
    micro = check_rows(num_rows, micro_batch_rows, shards)
    state, (_, frozen) = layout.abstract_state(), layout.abstract_params()
    weights = (layout.parts_in(layout.compute_dtype)[0], frozen)
    counts = {"parameters": _num_elements(weights)}
    if jax.tree.leaves(frozen):
        counts["trained parameters"] = _num_elements(state["params"])
    return {
        "devices": layout.mesh.size,
        "optimizer steps": layout.total_steps,
        "rows per update": f"{num_rows} = {num_rows // micro} x {micro // shards} x {shards} "
        "(micro-batches x rows x devices)",
        "tokens per row": length,
        "tokens per update": num_rows * length,
        **counts,
        "memory of parameters and optimizer": human_bytes(num_bytes(state)),
        f"memory of the weights in {layout.compute_dtype}": human_bytes(num_bytes(weights)),
        "memory of an update's batch": human_bytes(num_bytes(batch)),
    }


def human_bytes(num_bytes: int) -> str:
    """Return a number of bytes in the largest binary unit that it fills, to a tenth."""
    unit, name = next((each for each in _UNITS if num_bytes >= each[0]), _UNITS[-1])
    return f"{num_bytes / unit:,.1f} {name}"


_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def _num_elements(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def num_bytes(tree: Any) -> int:
    """Return the bytes of all arrays of a tree, or of what they will look like."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))

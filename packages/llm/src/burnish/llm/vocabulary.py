"""A vocabulary that grows: rows for token ids that a model does not have yet, drawn around those it has."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Float32

from burnish.llm.bundle import Bundle
from burnish.llm.families.parameters import leaves_by_path, nest
from burnish.llm.families.protocol import CausalLM
from burnish.llm.placement import filled
from burnish.llm.tensor_layout import leaf_shapes

SHARE_OF_COVARIANCE = 1e-9
"""Of the covariance of the rows that are there; transformers draws new ones with the same."""
_ROWS_AT_ONCE = 4096


def grown(bundle: Bundle, model: CausalLM, seed: int) -> Bundle:
    """Return a bundle with `model`, which is its own with more token ids.

    What it has of token ids is kept bit for bit. New rows are a function of `seed` and the leaf's path.
    """
    added = model.vocab_size - bundle.model.vocab_size
    return replace(
        bundle,
        model=model,
        origin=None,
        source=f"{bundle.source} with {added} new token ids",
        load=lambda like: _load_grown(bundle, seed, like),
    )


def drawn_rows(
    table: Float32[np.ndarray, "v d"], count: int, generator: np.random.Generator
) -> Float32[np.ndarray, "count d"]:
    """Return normal rows with the mean of a table's rows and a share of their covariance.

    A sum of the centered rows, each times a draw of its own, has their covariance; it needs no factor of it,
    and so less rows than dims will do.
    """
    mean = table.mean(axis=0, dtype=np.float64)
    total = np.zeros((count, table.shape[1]))
    for start in range(0, len(table), _ROWS_AT_ONCE):
        centered = table[start : start + _ROWS_AT_ONCE] - mean
        total += generator.standard_normal((count, len(centered)), dtype=np.float32) @ centered
    return (mean + total * np.sqrt(SHARE_OF_COVARIANCE / len(table))).astype(np.float32)


def _load_grown(bundle: Bundle, seed: int, like: Mapping[str, Any]) -> dict[str, Any]:
    """Load what `like` asks for; leaves that have grown are whole on the host for a while."""
    shapes, asked = leaf_shapes(bundle.model), leaves_by_path(like)
    stored = {
        path: likeness if likeness.shape == shapes[path] else jax.ShapeDtypeStruct(shapes[path], np.float32)
        for path, likeness in asked.items()
    }
    leaves = leaves_by_path(bundle.load(nest(stored)))
    for path, likeness in asked.items():
        if likeness.shape != shapes[path]:
            words = [seed, zlib.crc32("/".join(path).encode())]
            leaves[path] = _grown_leaf(leaves[path], likeness, np.random.default_rng(words))
    return nest(leaves)


def _grown_leaf(old: np.ndarray, likeness: jax.ShapeDtypeStruct, generator: np.random.Generator) -> Any:
    """Return a leaf with what is drawn after what it had along its dim of token ids."""
    [dim] = (dim for dim, size in enumerate(old.shape) if likeness.shape[dim] != size)
    rows_first = np.moveaxis(old, dim, 0)
    count, num_old = likeness.shape[dim] - old.shape[dim], old.shape[dim]
    new = drawn_rows(rows_first.reshape(num_old, -1), count, generator).reshape(count, *rows_first.shape[1:])
    before = (slice(None),) * dim
    pieces = [((*before, slice(0, num_old)), old)]
    pieces.append(((*before, slice(num_old, None)), np.moveaxis(new, 0, dim)))
    return filled(likeness, pieces)

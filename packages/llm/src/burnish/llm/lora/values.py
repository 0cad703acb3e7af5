"""The numbers of low-rank updates: what they begin with, and the matrices that they make."""

import functools
import math
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float32

from burnish.llm.families.adapted import column_norms, factors_of, updated
from burnish.llm.families.matrix_dims import flat, folded
from burnish.llm.families.protocol import MatrixDims, Path
from burnish.llm.lora.low_rank import ADAPTERS, LowRank, Target
from burnish.llm.tensor_layout import leaf_at


def fresh_factors(
    targets: Iterable[Target], low_rank: LowRank, params: Mapping[str, Any], seed: int
) -> dict[Path, Any]:
    """Return the leaves beside some matrices, by path, in fp32.

    `a` is drawn as peft draws it, uniformly up to 1 / sqrt(inputs) (Kaiming with a = sqrt(5)), by seed and
    path; `b` is 0, and magnitudes are the norms of the matrices' columns.
    """
    made: dict[Path, Any] = {}
    for target in targets:
        leaves, path = target.leaves(low_rank), (ADAPTERS, *target.path)
        generator = np.random.default_rng([seed, zlib.crc32("/".join((*path, "a")).encode())])
        bound = 1 / math.sqrt(math.prod(target.shape[dim] for dim in target.dims.inputs))
        drawn = generator.random(leaves["a"].shape, dtype=np.float32)
        made[*path, "a"] = (2 * drawn - 1) * np.float32(bound)
        made[*path, "b"] = np.zeros(leaves["b"].shape, np.float32)
        if low_rank.dora:
            norms = _norms(target.dims)(leaf_at(params, target.path))
            made[*path, "magnitude"] = norms.reshape(leaves["magnitude"].shape)
    return made


def merged(target: Target, low_rank: LowRank, weight: Array, beside: Mapping[str, Array]) -> Array:
    """Return a leaf with its update in it, computed in fp32 and rounded once to the leaf's dtype."""
    of_leaves = target.leaves(low_rank)
    a, b = (flat(beside[name], of_leaves[name].matrix) for name in ("a", "b"))
    made = updated(flat(weight, target.dims), a, b, low_rank.scale)
    if low_rank.dora:
        magnitudes = beside["magnitude"].reshape(*made.shape[:-2], made.shape[-1])
        made *= factors_of(made, magnitudes)[..., None, :]
    return folded(made, target.shape, target.dims).astype(weight.dtype)


@functools.cache
def _norms(dims: MatrixDims) -> Any:
    def norms(leaf: Array) -> Float32[Array, "... o"]:
        return column_norms(flat(leaf, dims))

    return jax.jit(norms)

"""What an update of low rank is, and the leaves that it adds for a matrix of a model."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from burnish.llm.families.protocol import CausalLM, MatrixDims, Path
from burnish.llm.tensor_layout import leaf_at

Scaling = Literal["alpha_over_rank", "rslora"]
ADAPTERS = "adapters"
"""Where the leaves of all updates lie in a tree of parameters, each below the path of its matrix."""


@dataclass(frozen=True, kw_only=True)
class LowRank:
    """An update `scale * a b` of a matrix."""

    rank: int
    alpha: float
    scaling: Scaling = "alpha_over_rank"
    dora: bool = False
    """Whether the norms of the updated matrix's columns are leaves of their own."""

    @property
    def scale(self) -> float:
        """Return alpha / rank, or alpha / sqrt(rank) (https://arxiv.org/abs/2312.03732)."""
        return self.alpha / (self.rank if self.scaling == "alpha_over_rank" else math.sqrt(self.rank))


@dataclass(frozen=True)
class Target:
    """A leaf that is adapted."""

    path: Path
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    dims: MatrixDims

    @property
    def stacked(self) -> tuple[int, ...]:
        """The dims that count its matrices."""
        return tuple(
            dim for dim in range(len(self.shape)) if dim not in (*self.dims.inputs, *self.dims.outputs)
        )

    @property
    def is_in_order(self) -> bool:
        """Whether its inputs come before its outputs, as where a value is multiplied with it."""
        return (*self.stacked, *self.dims.inputs, *self.dims.outputs) == tuple(range(len(self.shape)))

    def leaves(self, low_rank: LowRank) -> dict[str, "AdapterLeaf"]:
        """Return what is trained beside it: `a`, `b`, and `magnitude` where columns keep their norms."""
        inputs, outputs, first = self.dims.inputs, self.dims.outputs, len(self.stacked)
        rank, last = (low_rank.rank, "rank"), first + len(inputs)
        made = {
            "a": self._leaf((*self.stacked, *inputs), (), rank, _matrix(first, last, 1)),
            "b": self._leaf(self.stacked, outputs, rank, _matrix(first, first + 1, len(outputs))),
        }
        if low_rank.dora:
            made["magnitude"] = self._leaf(self.stacked, outputs, None, None)
        return made

    def _leaf(
        self,
        before: tuple[int, ...],
        after: tuple[int, ...],
        between: tuple[int, str] | None,
        matrix: MatrixDims | None,
    ) -> "AdapterLeaf":
        """Return the leaf of some of the matrix's dims, and the rank between them."""
        parts = [(self.shape[dim], self.axes[dim]) for dim in before]
        parts += [] if between is None else [between]
        parts += [(self.shape[dim], self.axes[dim]) for dim in after]
        return AdapterLeaf(tuple(size for size, _ in parts), tuple(axis for _, axis in parts), matrix)


@dataclass(frozen=True)
class AdapterLeaf:
    """The shape of a leaf that is trained beside a matrix."""

    shape: tuple[int, ...]
    axes: tuple[str, ...]
    matrix: MatrixDims | None
    """The dims of its matrices; None where it holds vectors."""

    def abstract(self, dtype: Any) -> jax.ShapeDtypeStruct:
        """Return its likeness in a model of a dtype: a norm is divided by one of fp32, and is one itself."""
        return jax.ShapeDtypeStruct(self.shape, jnp.float32 if self.matrix is None else dtype)


def target_of(model: CausalLM, path: Path) -> Target:
    """Return the leaf of a model at a path, which holds matrices."""
    shape = leaf_at(model.abstract("float32"), path).shape
    return Target(path, tuple(shape), tuple(leaf_at(model.logical_axes, path)), model.matrices[path])


def _matrix(first: int, last: int, num_outputs: int) -> MatrixDims:
    return MatrixDims(tuple(range(first, last)), tuple(range(last, last + num_outputs)))

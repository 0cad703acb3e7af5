"""Which kernel computes attention: the one that is named, or the first that can, case by case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import jax
from jaxtyping import Array, Float

from burnish.llm.attention import QKV, AttentionSpec, Span
from burnish.llm.kernels.chunked import ChunkedAttention
from burnish.llm.kernels.dense import DenseAttention
from burnish.llm.kernels.protocol import Attention, AttentionCase
from burnish.platform.errors import ConfigError

MOST_SCORE_BYTES = 32 * 2**20
"""What the scores of a layer may take in `auto` before they are computed block by block."""


class AttentionChoice(Protocol):
    """What a model is given to compute its attention with; hashable."""

    def __call__(self, qkv: QKV, span: Span, spec: AttentionSpec, /) -> Float[Array, "b t h k"]:
        """Return softmax(scores) v by the kernel that this case is for."""
        ...


@dataclass(frozen=True)
class Named:
    """One kernel, whatever the case."""

    word: str
    kernel: Attention
    num_devices: int = 1

    def __call__(self, qkv: QKV, span: Span, spec: AttentionSpec) -> Float[Array, "b t h k"]:
        """Return what the kernel computes; ConfigError where it cannot."""
        case = case_of(qkv, span, spec, self.num_devices)
        if reason := self.kernel.refuses(case):
            raise ConfigError(
                f"model.attention={self.word} cannot compute this model here: {reason}; "
                "set model.attention=auto"
            )
        return self.kernel(qkv, span, case)


@dataclass(frozen=True)
class Auto:
    """The first of these kernels that can compute a case."""

    num_devices: int = 1

    def __call__(self, qkv: QKV, span: Span, spec: AttentionSpec) -> Float[Array, "b t h k"]:
        """Return what that kernel computes."""
        case = case_of(qkv, span, spec, self.num_devices)
        kernel = next(kernel for kernel in _preferred(case) if kernel.refuses(case) is None)
        return kernel(qkv, span, case)


def _preferred(case: AttentionCase) -> Iterator[Attention]:
    """Yield the kernels in the order in which they are asked; the last refuses nothing."""
    if case.score_bytes > MOST_SCORE_BYTES:
        yield ChunkedAttention()
    yield DenseAttention()


def case_of(qkv: QKV, span: Span, spec: AttentionSpec, num_devices: int) -> AttentionCase:
    """Return what is static about a call, on the platform at hand."""
    rows, length, num_heads, head_dim = qkv.queries.shape
    return AttentionCase(
        spec=spec,
        rows=rows,
        length=length,
        num_heads=num_heads,
        num_kv_heads=qkv.keys.shape[2],
        head_dim=head_dim,
        dtype=str(qkv.queries.dtype),
        platform=jax.default_backend(),
        num_devices=num_devices,
        has_branches=span.visible_until is not None,
    )

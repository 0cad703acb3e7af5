"""The slot `attention`: what a kernel is asked for, and what it has to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from jaxtyping import Array, Float

from burnish.llm.attention import QKV, AttentionSpec, Span
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig


@dataclass(frozen=True, kw_only=True)
class AttentionCase:
    """All that is static about one call of attention, by which a kernel says whether it can do it."""

    spec: AttentionSpec
    rows: int
    """Rows of the batch, on all devices together."""

    length: int
    """Tokens of a row."""

    num_heads: int
    num_kv_heads: int
    head_dim: int
    dtype: str
    """Number format of queries, keys and values."""

    platform: str
    """What jax computes on: `cpu`, `gpu` or `tpu`."""

    compute_capability: tuple[int, int] | None = None
    """Of an NVIDIA GPU; None of anything else."""

    num_devices: int = 1
    """Devices of the mesh, over which rows and heads are split."""

    max_segments: int | None = None
    """Most segments of a row beside its padding; None where that is not known."""

    has_branches: bool = False
    """Whether some keys are hidden from what follows them in their segment (`Span.visible_until`)."""

    @property
    def score_bytes(self) -> int:
        """What all scores take in fp32."""
        return 4 * self.rows * self.num_heads * self.length**2


@runtime_checkable
class Attention(Protocol):
    """Computes attention; hashable and equal when the computation is, for it is a part of the model."""

    def refuses(self, case: AttentionCase, /) -> str | None:
        """Return why it cannot compute a case, as `a <reason>` of a message; None where it can."""
        ...

    def __call__(self, qkv: QKV, span: Span, case: AttentionCase, /) -> Float[Array, "b t h k"]:
        """Return softmax(scores) v where query i sees key j as `Span` and the case's spec say.

        It is differentiated with respect to queries, keys and values. What padding (segment 0) finds is read
        by nobody, but finite; its cotangent is 0.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class AttentionContext:
    """What an `attention` component may use."""

    jax: JaxConfig | None = None
    """Devices and number formats of the run; None where there is no run."""

    artifacts: Artifacts = field(default_factory=Artifacts)
    """What stages before have made."""


class AttentionComponent(Protocol):
    """A kernel of attention, made without options."""

    def build(self, context: AttentionContext, /) -> Attention:
        """Return what computes attention; on no device yet."""
        ...

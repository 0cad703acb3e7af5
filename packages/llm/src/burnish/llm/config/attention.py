"""The kernels of attention of this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from burnish.llm.kernels.protocol import Attention, AttentionContext


@dataclass(frozen=True, kw_only=True)
class XLA:
    """All scores of a layer at one time, in plain jax; memory grows with the square of the length."""

    def build(self, context: AttentionContext) -> Attention:  # noqa: ARG002 - it needs nothing
        """Return the kernel."""
        from burnish.llm.kernels.dense import DenseAttention

        return DenseAttention()


@dataclass(frozen=True, kw_only=True)
class Chunked:
    """Block by block in plain jax, on every platform and for every model; memory grows with the length."""

    def build(self, context: AttentionContext) -> Attention:  # noqa: ARG002 - it needs nothing
        """Return the kernel."""
        from burnish.llm.kernels.chunked import ChunkedAttention

        return ChunkedAttention()


@dataclass(frozen=True, kw_only=True)
class CuDNN:
    """The fused kernel of NVIDIA's library: bfloat16 and float16, on Ampere and newer GPUs; no soft-cap."""

    def build(self, context: AttentionContext) -> Attention:  # noqa: ARG002 - it needs nothing
        """Return the kernel."""
        from burnish.llm.kernels.cudnn import CuDNNAttention

        return CuDNNAttention()


@dataclass(frozen=True, kw_only=True)
class Splash:
    """The fused kernel of jax for TPUs, on one of them."""

    def build(self, context: AttentionContext) -> Attention:  # noqa: ARG002 - it needs nothing
        """Return the kernel."""
        from burnish.llm.kernels.splash import SplashAttention

        return SplashAttention()

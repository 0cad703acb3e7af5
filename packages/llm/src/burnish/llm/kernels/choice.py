"""Which kernel computes attention: the one that is named, or the first that can, case by case."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Protocol

import jax
from jaxtyping import Array, Float

from burnish.llm import target
from burnish.llm.attention import QKV, AttentionSpec, Span
from burnish.llm.kernels.chunked import ChunkedAttention
from burnish.llm.kernels.cudnn import CuDNNAttention
from burnish.llm.kernels.dense import DenseAttention
from burnish.llm.kernels.probe import disparity
from burnish.llm.kernels.protocol import Attention, AttentionCase
from burnish.llm.kernels.splash import SplashAttention
from burnish.platform.errors import ConfigError

MOST_SCORE_BYTES, MOST_OF_ACCELERATORS = 8 * 2**20, 2**30
"""What the scores of a layer may take of a device in `auto` before they are computed block by block, on a CPU
for speed (`benchmarks/attention.py`), elsewhere for memory."""

DENSE, CHUNKED = ("xla", DenseAttention()), ("chunked", ChunkedAttention())
FUSED: tuple[tuple[str, Attention], ...] = (("cudnn", CuDNNAttention()), ("splash", SplashAttention()))
"""Kernels of accelerators, which `auto` asks first."""


class AttentionChoice(Protocol):
    """What a model is given to compute its attention with; hashable."""

    def __call__(self, qkv: QKV, span: Span, spec: AttentionSpec, /) -> Float[Array, "b t h k"]:
        """Return softmax(scores) v by the kernel that this case is for."""
        ...


class Decision(NamedTuple):
    """The kernel that computes a case, and why those before it do not; equal where that is the same."""

    name: str
    kernel: Attention
    passed_over: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """Say it in words."""
        reasons = "; ".join(f"not {name}: {reason}" for name, reason in self.passed_over)
        return f"attention by {self.name}" + (f" ({reasons})" if reasons else "")


@dataclass(frozen=True)
class Named:
    """One kernel, whatever the case; it is probed where a run begins, when its decisions are heard."""

    word: str
    kernel: Attention
    num_devices: int = 1

    def __call__(self, qkv: QKV, span: Span, spec: AttentionSpec) -> Float[Array, "b t h k"]:
        """Return what the kernel computes; ConfigError where it cannot."""
        case = case_of(qkv, span, spec, self.num_devices)
        if reason := self.kernel.refuses(case):
            raise ConfigError(
                f"model.attention={self.word} cannot compute this: {reason}; set model.attention=auto, "
                "or xla or chunked, which compute everything"
            )
        needs_probe = _HEARD.get() is not None and target.is_at_hand() and self.kernel != DENSE[1]
        if needs_probe and (reason := disparity(self.kernel, case)):
            raise ConfigError(
                f"model.attention={self.word} does not compute on this machine what it should: {reason}; set "
                "model.attention=auto, or xla or chunked"
            )
        _tell(Decision(self.word, self.kernel, ()))
        return self.kernel(qkv, _arrays(span), case)


@dataclass(frozen=True)
class Auto:
    """The first kernel that can compute a case and has shown on this machine that it does."""

    num_devices: int = 1
    fused: tuple[tuple[str, Attention], ...] = FUSED

    def __call__(self, qkv: QKV, span: Span, spec: AttentionSpec) -> Float[Array, "b t h k"]:
        """Return what that kernel computes."""
        case = case_of(qkv, span, spec, self.num_devices)
        decision = decide(self.fused, case, is_probed=target.is_at_hand())
        _tell(decision)
        return decision.kernel(qkv, _arrays(span), case)


@cache
def decide(fused: tuple[tuple[str, Attention], ...], case: AttentionCase, is_probed: bool = True) -> Decision:
    """Return the kernel that `auto` takes, after its probe; that of all scores needs none.

    What is compiled for a device that is not there cannot be probed.
    """
    passed_over: list[tuple[str, str]] = []
    for name, kernel in _preferred(fused, case):
        needs_probe = is_probed and name != DENSE[0]
        reason = kernel.refuses(case) or (disparity(kernel, case) if needs_probe else None)
        if reason is None:
            return Decision(name, kernel, tuple(passed_over))
        passed_over.append((name, reason))
    raise AssertionError("attention that holds all scores refuses nothing")


def _preferred(
    fused: tuple[tuple[str, Attention], ...], case: AttentionCase
) -> Iterator[tuple[str, Attention]]:
    yield from fused
    most = MOST_SCORE_BYTES if case.platform == "cpu" else MOST_OF_ACCELERATORS
    if case.score_bytes > most * case.num_devices:
        yield CHUNKED
    yield DENSE


def case_of(qkv: QKV, span: Span, spec: AttentionSpec, num_devices: int = 1) -> AttentionCase:
    """Return what is static about a call, on the platform and the mesh that it is compiled for."""
    rows, length, num_heads, head_dim = qkv.queries.shape
    traced_for = jax.sharding.get_abstract_mesh()
    return AttentionCase(
        spec=spec,
        rows=rows,
        length=length,
        num_heads=num_heads,
        num_kv_heads=qkv.keys.shape[2],
        head_dim=head_dim,
        dtype=str(qkv.queries.dtype),
        platform=target.platform(),
        compute_capability=target.compute_capability(),
        num_devices=num_devices if traced_for.empty else traced_for.size,
        max_segments=span.max_segments,
        has_branches=span.visible_until is not None,
    )


@contextmanager
def heard() -> Generator[Callable[[], list[Decision]]]:
    """Yield what returns the decisions that are taken in the `with` block, each once."""
    decisions: list[Decision] = []
    token = _HEARD.set(decisions)
    try:
        yield lambda: list(dict.fromkeys(decisions))
    finally:
        _HEARD.reset(token)


def _tell(decision: Decision) -> None:
    if (decisions := _HEARD.get()) is not None:
        decisions.append(decision)


def _arrays(span: Span) -> Span:
    """Leave out what is no array: kernels read it from the case."""
    return span._replace(max_segments=None)


_HEARD: ContextVar[list[Decision] | None] = ContextVar("heard", default=None)

"""Grouped-query attention that holds all scores, and who may attend to whom."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from burnish.llm.precision import exact_for

MASKED = -0.7 * float(jnp.finfo(jnp.float32).max)
"""Score of a pair that may not attend: finite, so a row without any legal key (padding) stays finite too."""


SAVED = "attention"
"""What a kernel names (`jax.ad_checkpoint.checkpoint_name`) so that a backward pass need not attend again."""


@dataclass(frozen=True, kw_only=True)
class AttentionSpec:
    """What one kind of layer makes of its scores; static, for a kernel is compiled for it."""

    scale: float
    """Factor of the product of query and key."""

    window: int | None = None
    """How many tokens one attends to at most, itself included; None for all that it may see."""

    softcap: float | None = None
    """A score s becomes softcap * tanh(s / softcap); None leaves it."""


class QKV(NamedTuple):
    """Queries, keys and values of one layer."""

    queries: Float[Array, "b t h k"]
    keys: Float[Array, "b t n k"]
    values: Float[Array, "b t n k"]


class Span(NamedTuple):
    """The tokens of a batch's rows, as keys and as queries, in a form that a kernel can use.

    Token i attends to token j of its row when both are of one segment and j <= i < `visible_until[j]`.
    """

    positions: Int[Array, "b t"]
    """Of each token in its sequence; what a window is measured in."""
    segment_ids: Int[Array, "b t"]
    visible_until: Int[Array, "b t"] | None = None
    """None where every token is seen by all that follow it in its segment."""
    max_segments: int | None = None
    """Most segments of a row beside its padding, a number of Python; None where it is not known."""


def span_mask(span: Span, window: int | None = None) -> Bool[Array, "b t t"]:
    """Return which pairs of query and key attend."""
    segment_ids = span.segment_ids
    length = segment_ids.shape[1]
    causal = jnp.tril(jnp.ones((length, length), bool))
    attend = causal[None] & (segment_ids[:, :, None] == segment_ids[:, None, :])
    if window is not None:
        attend &= span.positions[:, :, None] - span.positions[:, None, :] < window
    if span.visible_until is None:
        return attend
    return attend & (jnp.arange(length)[None, :, None] < span.visible_until[:, None, :])


def attention(qkv: QKV, span: Span, spec: AttentionSpec) -> Float[Array, "b t h k"]:
    """Return softmax(scores) v of the rows' tokens among themselves; memory grows with t^2."""
    return masked_attention(qkv, span_mask(span, spec.window), spec, "bsnk")


def masked_attention(
    qkv: QKV, mask: Bool[Array, "b t s"], spec: AttentionSpec, layout: Literal["bsnk", "bnsk"]
) -> Float[Array, "b t h k"]:
    """Return softmax(scores) v, scores and softmax in fp32; `layout` names the dims of keys and values.

    Query head `i` reads key-value head `i // (h / n)`.
    """
    queries, keys, values = qkv
    rows, length, num_heads, head_dim = queries.shape
    num_kv_heads, precision = keys.shape[layout.index("n")], exact_for(queries)
    grouped = queries.reshape(rows, length, num_kv_heads, num_heads // num_kv_heads, head_dim)
    scores = jnp.einsum(
        f"btngk,{layout}->bngts", grouped, keys, precision=precision, preferred_element_type=jnp.float32
    )
    scores = scores * spec.scale
    if spec.softcap is not None:
        scores = spec.softcap * jnp.tanh(scores / spec.softcap)
    weights = jax.nn.softmax(jnp.where(mask[:, None, None], scores, MASKED), axis=-1).astype(queries.dtype)
    context = jnp.einsum(f"bngts,{layout}->btngk", weights, values, precision=precision)
    return context.reshape(rows, length, num_heads, head_dim)

"""Grouped-query attention with an explicit mask, and the two masks a causal LM needs."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

MASKED = -0.7 * float(jnp.finfo(jnp.float32).max)
"""Score of a pair that may not attend: finite, so a row without any legal key (padding) stays finite too."""


def segment_mask(
    segment_ids: Int[Array, "b t"], visible_until: Int[Array, "b t"] | None = None
) -> Bool[Array, "b t t"]:
    """Return which pairs attend: key j and query i of one segment with j <= i < visible_until[j]."""
    length = segment_ids.shape[1]
    causal = jnp.tril(jnp.ones((length, length), bool))
    attend = causal[None] & (segment_ids[:, :, None] == segment_ids[:, None, :])
    if visible_until is None:
        return attend
    return attend & (jnp.arange(length)[None, :, None] < visible_until[:, None, :])


def cache_mask(positions: Int[Array, "b t"], length: int) -> Bool[Array, "b t s"]:
    """Return which cache indices a token attends to: all up to its own position."""
    return jnp.arange(length)[None, None, :] <= positions[:, :, None]


def attention(
    queries: Float[Array, "b t h k"],
    keys: Float[Array, "b s n k"],
    values: Float[Array, "b s n k"],
    mask: Bool[Array, "b t s"],
    precision: jax.lax.Precision | None = None,
) -> Float[Array, "b t h k"]:
    """Return softmax(q k / sqrt(head_dim)) v, scores and softmax in fp32.

    Query head `i` reads key-value head `i // (h / n)`.
    """
    rows, length, num_heads, head_dim = queries.shape
    num_kv_heads = keys.shape[2]
    grouped = queries.reshape(rows, length, num_kv_heads, num_heads // num_kv_heads, head_dim)
    scores = jnp.einsum(
        "btngk,bsnk->bngts", grouped, keys, precision=precision, preferred_element_type=jnp.float32
    )
    scores = jnp.where(mask[:, None, None], scores * head_dim**-0.5, MASKED)
    weights = jax.nn.softmax(scores, axis=-1).astype(queries.dtype)
    context = jnp.einsum("bngts,bsnk->btngk", weights, values, precision=precision)
    return context.reshape(rows, length, num_heads, head_dim)

"""Attention by pairs of a block of queries and a block of keys; its memory grows with t, not with t^2.

A pair of which no query sees a key, because of causality or of a window, is not computed. The softmax is
taken in one pass over the pairs (https://arxiv.org/abs/2112.05682); the backward pass computes scores again.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Float32, Int

from burnish.llm.attention import MASKED, QKV, SAVED, AttentionSpec, Span
from burnish.llm.precision import exact_for


class _Laid(NamedTuple):
    """Queries, keys and values with heads first and in whole blocks, and who they are."""

    queries: Float[Array, "b n g t k"]
    keys: Float[Array, "b n t k"]
    values: Float[Array, "b n t k"]
    span: Span


class _Kept(NamedTuple):
    """What the backward pass reads."""

    qkv: QKV
    span: Span
    context: Float[Array, "b t h k"]
    log_normalizer: Float32[Array, "b n g t"]


class _Pair(NamedTuple):
    """Where the block of queries and the block of keys begin."""

    query: Int[Array, ""]
    key: Int[Array, ""]


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def attention_in_blocks(qkv: QKV, span: Span, spec: AttentionSpec, block: int) -> Float[Array, "b t h k"]:
    """Return softmax(scores) v by blocks of `block` tokens; a query that sees nothing finds 0."""
    return _forward(qkv, span, spec, block)[0]


def _forward(qkv: QKV, span: Span, spec: AttentionSpec, block: int) -> tuple[Array, _Kept]:
    laid = _laid(qkv, span, block)

    def add(state: Any, pair: _Pair) -> tuple[Any, None]:
        context, maximum, normalizer = (_slice(each, pair.query, block) for each in state)
        scores, seen = _scores(laid, pair, spec, block)
        largest = jnp.maximum(maximum, jnp.max(scores, axis=-1))
        weights = jnp.where(seen, jnp.exp(scores - largest[..., None]), 0)
        values, shrink = _slice(laid.values, pair.key, block, axis=2), jnp.exp(maximum - largest)
        found = _dot("bngts,bnsk->bngtk", weights.astype(values.dtype), values)
        new = (
            context * shrink[..., None] + found,
            largest,
            normalizer * shrink + jnp.sum(weights, axis=-1),
        )
        return tuple(_put(old, part, pair.query) for old, part in zip(state, new, strict=True)), None

    zeros = jnp.zeros(laid.queries.shape, jnp.float32)
    start = (zeros, jnp.full(zeros.shape[:-1], MASKED), zeros[..., 0])
    (context, maximum, normalizer), _ = lax.scan(add, start, _pairs(laid, spec, block))
    normalizer = jnp.where(normalizer > 0, normalizer, 1)
    context = checkpoint_name(_like_queries(context / normalizer[..., None], qkv.queries), SAVED)
    return context, _Kept(qkv, span, context, checkpoint_name(maximum + jnp.log(normalizer), SAVED))


def _backward(
    spec: AttentionSpec, block: int, kept: _Kept, cotangent: Float[Array, "b t h k"]
) -> tuple[QKV, None]:
    """Return the gradients; with P the softmax, that of the scores is P * (dO V^T - sum(O * dO))."""
    laid = _laid(kept.qkv, kept.span, block)
    of_context = _heads_first(cotangent, kept.qkv.keys.shape[2], block)
    context = _heads_first(kept.context, kept.qkv.keys.shape[2], block)
    products = jnp.sum(context.astype(jnp.float32) * of_context.astype(jnp.float32), axis=-1)

    def add(totals: tuple[Array, Array, Array], pair: _Pair) -> tuple[Any, None]:
        scores, seen = _scores(laid, pair, spec, block)
        log_normalizer = _slice(kept.log_normalizer, pair.query, block)[..., None]
        weights = jnp.where(seen, jnp.exp(scores - log_normalizer), 0)
        queries, pulled, product = (
            _slice(each, pair.query, block) for each in (laid.queries, of_context, products)
        )
        keys, values = (_slice(each, pair.key, block, axis=2) for each in (laid.keys, laid.values))
        of_scores = weights * (_dot("bngtk,bnsk->bngts", pulled, values) - product[..., None])
        if spec.softcap is not None:
            of_scores *= jnp.where(seen, 1 - jnp.square(scores / spec.softcap), 0)
        of_scores = (of_scores * spec.scale).astype(queries.dtype)
        shares = (
            (_dot("bngts,bnsk->bngtk", of_scores, keys), pair.query, 3),
            (_dot("bngts,bngtk->bnsk", of_scores, queries), pair.key, 2),
            (_dot("bngts,bngtk->bnsk", weights.astype(pulled.dtype), pulled), pair.key, 2),
        )
        return tuple(_add(total, *share) for total, share in zip(totals, shares, strict=True)), None

    start = tuple(jnp.zeros(each.shape, jnp.float32) for each in laid[:3])
    (queries, keys, values), _ = lax.scan(add, start, _pairs(laid, spec, block))
    own = kept.qkv
    return QKV(
        _like_queries(queries, own.queries),
        _like_queries(keys[:, :, None], own.keys),
        _like_queries(values[:, :, None], own.values),
    ), None


attention_in_blocks.defvjp(_forward, _backward)


def _laid(qkv: QKV, span: Span, block: int) -> _Laid:
    num_kv_heads = qkv.keys.shape[2]
    padding = -qkv.queries.shape[1] % block
    queries, keys, values = (_heads_first(each, num_kv_heads, block) for each in qkv)
    padded = jax.tree.map(lambda each: jnp.pad(each, ((0, 0), (0, padding))), span)
    return _Laid(queries, keys[:, :, 0], values[:, :, 0], padded)


def _heads_first(array: Float[Array, "b t h k"], num_kv_heads: int, block: int) -> Float[Array, "b n g u k"]:
    """Return the heads by the key-value head that they read, of tokens padded to whole blocks."""
    rows, length, _, head_dim = array.shape
    padded = jnp.pad(array, ((0, 0), (0, -length % block), (0, 0), (0, 0)))
    return padded.reshape(rows, padded.shape[1], num_kv_heads, -1, head_dim).transpose(0, 2, 3, 1, 4)


def _like_queries(array: Float[Array, "b n g u k"], like: Float[Array, "b t h k"]) -> Float[Array, "b t h k"]:
    tokens_first = array.transpose(0, 3, 1, 2, 4)
    return tokens_first[:, : like.shape[1]].reshape(like.shape).astype(like.dtype)


def _pairs(laid: _Laid, spec: AttentionSpec, block: int) -> _Pair:
    """Return the pairs of which some query may see some key, those of one block of queries in a row.

    Where rows have branches a key within the window may lie as far back as the row begins.
    """
    window = spec.window if laid.span.visible_until is None else None
    found: list[tuple[int, int]] = []
    for query in range(0, laid.keys.shape[2], block):
        oldest = 0 if window is None else max(0, query - window + 1)
        found += [(query, key) for key in range(oldest - oldest % block, query + 1, block)]
    queries, keys = np.asarray(found, np.int32).T
    return _Pair(jnp.asarray(queries), jnp.asarray(keys))


def _scores(
    laid: _Laid, pair: _Pair, spec: AttentionSpec, block: int
) -> tuple[Float32[Array, "b n g u v"], Bool[Array, "b 1 1 u v"]]:
    """Return the scores of a pair of blocks, MASKED where nothing is seen, and where something is."""
    queries, keys = _slice(laid.queries, pair.query, block), _slice(laid.keys, pair.key, block, axis=2)
    scores = _dot("bngtk,bnsk->bngts", queries, keys) * spec.scale
    if spec.softcap is not None:
        scores = spec.softcap * jnp.tanh(scores / spec.softcap)
    seen = _seen(laid.span, pair, spec, block)
    return jnp.where(seen, scores, MASKED), seen


def _seen(span: Span, pair: _Pair, spec: AttentionSpec, block: int) -> Bool[Array, "b 1 1 u v"]:
    """Return what `span_mask` has for a pair of blocks."""
    indices = jnp.arange(block)
    query_index = (pair.query + indices)[None, :, None]
    own, others = (_tokens(span.segment_ids, start, block) for start in pair)
    seen = ((pair.key + indices)[None, None] <= query_index) & (own[:, :, None] == others[:, None])
    if spec.window is not None:
        own, others = (_tokens(span.positions, start, block) for start in pair)
        seen &= own[:, :, None] - others[:, None] < spec.window
    if span.visible_until is not None:
        seen &= query_index < _tokens(span.visible_until, pair.key, block)[:, None]
    return seen[:, None, None]


def _dot(equation: str, left: Array, right: Array) -> Float32[Array, "..."]:
    return jnp.einsum(equation, left, right, precision=exact_for(left), preferred_element_type=jnp.float32)


def _tokens(array: Int[Array, "b t"], start: Int[Array, ""], block: int) -> Int[Array, "b u"]:
    return lax.dynamic_slice_in_dim(array, start, block, axis=1)


def _slice(array: Array, start: Int[Array, ""], block: int, axis: int = 3) -> Array:
    return lax.dynamic_slice_in_dim(array, start, block, axis)


def _put(array: Array, part: Array, start: Int[Array, ""], axis: int = 3) -> Array:
    return lax.dynamic_update_slice_in_dim(array, part, start, axis)


def _add(array: Array, share: Array, start: Int[Array, ""], axis: int) -> Array:
    return _put(array, _slice(array, start, share.shape[axis], axis) + share, start, axis)

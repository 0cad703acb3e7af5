"""Kernels of attention against attention that holds all scores, forward and backward, and their memory."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.attention import QKV, AttentionSpec, Span, attention, span_mask
from burnish.llm.kernels.choice import case_of
from burnish.llm.kernels.chunked import LARGEST_BLOCK, SMALLEST_BLOCK, ChunkedAttention, block_of

LENGTH = 43
"""No multiple of the blocks."""

BLOCKS = (16, 64)
PLAIN = AttentionSpec(scale=0.4)
SPECS = {
    "plain": PLAIN,
    "window within a block": AttentionSpec(scale=0.4, window=5),
    "window over blocks": AttentionSpec(scale=0.4, window=21),
    "capped": AttentionSpec(scale=2.0, softcap=1.5),
    "capped window": AttentionSpec(scale=2.0, softcap=1.5, window=11),
}
HEADS = {"alike": (4, 4), "grouped": (4, 2), "one for all": (4, 1)}


def inputs(heads=(4, 2), rows=3, length=LENGTH, dtype=jnp.float32):
    generator = np.random.default_rng(0)
    queries, cotangent = generator.standard_normal((2, rows, length, heads[0], 8))
    keys, values = generator.standard_normal((2, rows, length, heads[1], 8))
    return QKV(*(jnp.asarray(each, dtype) for each in (queries, keys, values))), jnp.asarray(cotangent, dtype)


def spans():
    """Rows of one sequence, of several with padding before or after, and of branches."""
    whole, packed = np.ones((3, LENGTH), int), np.zeros((3, LENGTH), int)
    packed[0, 4:40], packed[1, :13], packed[1, 13:29], packed[1, 29:] = 1, 1, 2, 3
    packed[2, :9], packed[2, 9:10], packed[2, 10:30] = 1, 2, 3
    return {"whole": span(whole), "packed": span(packed), "branches": span(whole, branches())}


def span(segment_ids, visible_until=None):
    starts = np.diff(segment_ids, axis=1, prepend=-1) != 0
    indices = np.arange(segment_ids.shape[1])
    positions = indices - np.maximum.accumulate(np.where(starts, indices, 0), axis=1)
    until = None if visible_until is None else jnp.asarray(visible_until)
    return Span(jnp.asarray(positions), jnp.asarray(segment_ids), until)


def branches():
    """A prefix of 15 tokens that all see, and branches that end at 24 and at 43."""
    until = np.full((3, LENGTH), LENGTH)
    until[:, 15:24] = 24
    return until


def real(tokens):
    """Where a token is that somebody reads: all but padding."""
    return (np.asarray(tokens.segment_ids) > 0)[..., None, None]


def values_and_gradients(function, qkv, cotangent, tokens):
    """Return what is found and three gradients, padding left out; its cotangent is 0 in a model."""

    def total(qkv):
        found = function(qkv)
        return jnp.vdot(found, jnp.where(real(tokens), cotangent, 0)), jnp.where(real(tokens), found, 0)

    gradients, found = jax.jit(jax.grad(total, has_aux=True))(qkv)
    return [np.asarray(each, np.float64) for each in (found, *gradients)]


def dense(qkv, cotangent, tokens, spec):
    return values_and_gradients(lambda qkv: attention(qkv, tokens, spec), qkv, cotangent, tokens)


def by(kernel, qkv, cotangent, tokens, spec):
    case = case_of(qkv, tokens, spec, num_devices=1)
    assert kernel.refuses(case) is None
    return values_and_gradients(lambda qkv: kernel(qkv, tokens, case), qkv, cotangent, tokens)


def distance(actual, expected):
    """Return the largest distance of an array to the expected one, in norms of that."""
    pairs = zip(actual, expected, strict=True)
    return max(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) for ours, theirs in pairs)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("tokens", spans().values(), ids=spans())
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_blocks_give_values_and_gradients_of_all_scores(spec, tokens, block):
    qkv, cotangent = inputs()
    expected = dense(qkv, cotangent, tokens, spec)
    assert distance(by(ChunkedAttention(block), qkv, cotangent, tokens, spec), expected) < 2e-6


@pytest.mark.parametrize("heads", HEADS.values(), ids=HEADS)
def test_query_heads_share_key_heads_as_with_all_scores(heads):
    (qkv, cotangent), tokens = inputs(heads), spans()["packed"]
    expected = dense(qkv, cotangent, tokens, PLAIN)
    assert distance(by(ChunkedAttention(16), qkv, cotangent, tokens, PLAIN), expected) < 2e-6
    swapped = qkv._replace(queries=qkv.queries[:, :, ::-1])
    assert distance(by(ChunkedAttention(16), swapped, cotangent, tokens, PLAIN), expected) > 0.1


@pytest.mark.parametrize(
    ("tokens", "spec", "other_tokens", "other_spec"),
    [
        ("packed", PLAIN, "whole", PLAIN),
        ("branches", PLAIN, "whole", PLAIN),
        ("whole", SPECS["window over blocks"], "whole", AttentionSpec(scale=0.4, window=22)),
        ("whole", SPECS["window within a block"], "whole", AttentionSpec(scale=0.4, window=6)),
        ("packed", SPECS["capped"], "packed", AttentionSpec(scale=2.0)),
        ("packed", PLAIN, "packed", AttentionSpec(scale=0.41)),
    ],
    ids=["segments", "branches", "a long window", "a short window", "the cap", "the scale"],
)
def test_each_part_of_span_and_spec_is_felt(tokens, spec, other_tokens, other_spec):
    (qkv, cotangent), found = inputs(), spans()
    mask = np.asarray(span_mask(found[tokens], spec.window))
    others = np.asarray(span_mask(found[other_tokens], other_spec.window))
    assert (mask != others).any() or spec != other_spec
    expected = dense(qkv, cotangent, found[tokens], spec)
    twin = by(ChunkedAttention(16), qkv, cotangent, found[other_tokens], other_spec)
    assert distance(twin, expected) > 1e-3


def test_windows_of_branches_are_counted_in_positions():
    """The second branch follows the prefix: what lies between them in the row is not in its window."""
    positions = np.tile(np.r_[0:15, 15:24, 15:34], (3, 1))
    tokens = span(np.ones((3, LENGTH), int), branches())._replace(positions=jnp.asarray(positions))
    (qkv, cotangent), spec = inputs(), SPECS["window within a block"]
    expected = dense(qkv, cotangent, tokens, spec)
    assert distance(by(ChunkedAttention(8), qkv, cotangent, tokens, spec), expected) < 2e-6
    at_indices = tokens._replace(positions=span(np.ones((3, LENGTH), int)).positions)
    assert distance(by(ChunkedAttention(8), qkv, cotangent, at_indices, spec), expected) > 1e-3


@pytest.mark.parametrize("until", [None, 0], ids=["a segment of its own", "seen by nothing"])
def test_rows_of_padding_are_finite_with_zero_gradients(until):
    (qkv, cotangent), nothing = inputs(), np.zeros((3, LENGTH), int)
    tokens = span(nothing, None if until is None else nothing)
    found, *gradients = by(ChunkedAttention(16), qkv, cotangent, tokens, PLAIN)
    assert not any(np.abs(gradient).any() for gradient in gradients)
    case = case_of(qkv, tokens, PLAIN, num_devices=1)
    pulled = jax.grad(lambda qkv: ChunkedAttention(16)(qkv, tokens, case).sum())(qkv)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((found, pulled)))


def test_bfloat16_is_as_near_to_fp32_as_with_all_scores():
    tokens, spec = spans()["packed"], SPECS["capped window"]
    exact = dense(*inputs(), tokens, spec)
    qkv, cotangent = inputs(dtype=jnp.bfloat16)
    found = by(ChunkedAttention(16), qkv, cotangent, tokens, spec)
    assert distance(found, exact) < 1.2 * distance(dense(qkv, cotangent, tokens, spec), exact) < 0.05


def temporary_bytes(kernel, length):
    """Return what value and gradients need beside their arguments."""
    (qkv, cotangent), tokens = inputs(rows=1, length=length), span(np.ones((1, length), int))

    def total(qkv):
        return jnp.vdot(kernel(qkv, tokens), cotangent)

    return jax.jit(jax.grad(total)).lower(qkv).compile().memory_analysis().temp_size_in_bytes


def test_memory_grows_with_the_length_and_that_of_all_scores_with_its_square():
    def blocks(qkv, tokens):
        return ChunkedAttention(64)(qkv, tokens, case_of(qkv, tokens, PLAIN, num_devices=1))

    def all_scores(qkv, tokens):
        return attention(qkv, tokens, PLAIN)

    assert temporary_bytes(blocks, 2048) < 2.2 * temporary_bytes(blocks, 1024)
    assert temporary_bytes(all_scores, 2048) > 3.5 * temporary_bytes(all_scores, 1024)
    assert 20 * temporary_bytes(blocks, 2048) < temporary_bytes(all_scores, 2048)


def num_pairs(spec, length=512, block=64):
    """Return how many pairs of blocks the forward pass goes through."""
    (qkv, cotangent), tokens = inputs(rows=1, length=length), span(np.ones((1, length), int))
    case = case_of(qkv, tokens, spec, num_devices=1)
    kernel = ChunkedAttention(block)
    found = jax.make_jaxpr(lambda qkv: jnp.vdot(kernel(qkv, tokens, case), cotangent))(qkv)
    return next(
        equation.params["length"] for equation in walk(found.jaxpr) if equation.primitive.name == "scan"
    )


def walk(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from walk(inner)


@pytest.mark.parametrize(("window", "pairs"), [(None, 36), (65, 8 + 7), (66, 8 + 7 + 6), (1, 8), (512, 36)])
def test_pairs_of_blocks_that_see_nothing_are_left_out(window, pairs):
    assert num_pairs(AttentionSpec(scale=0.4, window=window)) == pairs


@pytest.mark.parametrize(
    ("rows", "length", "block"),
    [(1, 17, 17), (1, 257, 129), (1, 4096, LARGEST_BLOCK), (64, 512, SMALLEST_BLOCK), (10**6, 64, 64)],
)
def test_blocks_are_of_one_length_and_smaller_for_more_rows(rows, length, block):
    (qkv, _), tokens = inputs(rows=1), spans()["whole"]
    case = case_of(qkv, tokens, PLAIN, num_devices=1)
    assert block_of(dataclasses.replace(case, rows=rows, length=length)) == block

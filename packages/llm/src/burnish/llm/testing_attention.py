"""What every kernel of attention has to pass; the test class of a kernel inherits it.

    class TestMine(AttentionTests):
        kernel = MyKernel()

A case that the kernel refuses is skipped. For tests alone.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.attention import QKV, AttentionSpec, Span, attention
from burnish.llm.kernels.choice import case_of
from burnish.llm.kernels.protocol import Attention

LENGTH = 43
"""Tokens of a row: no multiple of anything that a kernel may ask for."""

SPECS: Mapping[str, AttentionSpec] = {
    "plain": AttentionSpec(scale=0.4),
    "a short window": AttentionSpec(scale=0.4, window=5),
    "a long window": AttentionSpec(scale=0.4, window=21),
    "capped": AttentionSpec(scale=2.0, softcap=1.5),
    "a capped window": AttentionSpec(scale=2.0, softcap=1.5, window=11),
}
HEADS: Mapping[str, tuple[int, int]] = {"alike": (4, 4), "grouped": (4, 2), "one for all": (4, 1)}
"""Heads of queries, and of keys."""


class AttentionTests:
    """A kernel gives what attention by all scores gives, forward and backward."""

    kernel: ClassVar[Attention]

    tolerance: ClassVar[float] = 2e-6
    """How far values and gradients may be from those of all scores in fp32, in norms of those."""

    @pytest.mark.parametrize("layout", ["whole", "packed", "left", "branches"])
    @pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
    def test_values_and_gradients_are_those_of_all_scores(self, spec: AttentionSpec, layout: str) -> None:
        """In rows of one sequence, of several, padded on the left, and of branches."""
        span = spans()[layout]
        self.assert_near(inputs(), span, spec)

    @pytest.mark.parametrize("heads", HEADS.values(), ids=list(HEADS))
    def test_query_heads_share_key_heads(self, heads: tuple[int, int]) -> None:
        """Query head i reads key-value head i // (h / n)."""
        self.assert_near(inputs(heads), spans()["packed"], SPECS["plain"])

    def test_half_precision_is_near_as_all_scores_are(self) -> None:
        """In bfloat16 it is about as far from fp32 as attention by all scores."""
        span, spec = spans()["packed"], SPECS["plain"]
        exact, halves = by_all_scores(*inputs(), span, spec), inputs(dtype=jnp.bfloat16)
        usual = distance(by_all_scores(*halves, span, spec), exact)
        assert distance(self.found(halves, span, spec), exact) < 1.5 * usual

    @pytest.mark.parametrize("layout", ["padding", "branches of padding"])
    def test_rows_of_padding_are_finite_with_zero_gradients(self, layout: str) -> None:
        """The cotangent of padding is 0, and so is what becomes of it."""
        for each in self.found(inputs(), spans()[layout], SPECS["plain"]):
            assert not each.any()

    def test_it_is_a_value(self) -> None:
        """It can be a part of what a program is compiled for."""
        assert hash(self.kernel) == hash(self.kernel)

    def assert_near(self, given: tuple[QKV, Any], span: Span, spec: AttentionSpec) -> None:
        """Hold values and gradients to those of attention by all scores."""
        assert distance(self.found(given, span, spec), by_all_scores(*given, span, spec)) < self.tolerance

    def found(self, given: tuple[QKV, Any], span: Span, spec: AttentionSpec) -> list[np.ndarray]:
        """Return values and gradients, or skip what the kernel refuses."""
        case = case_of(given[0], span, spec)
        if reason := self.kernel.refuses(case):
            pytest.skip(reason)
        arrays = span._replace(max_segments=None)
        return values_and_gradients(lambda qkv: self.kernel(qkv, arrays, case), *given, span)


def inputs(
    heads: tuple[int, int] = (4, 2), rows: int = 3, length: int = LENGTH, dtype: Any = jnp.float32
) -> tuple[QKV, Any]:
    """Return queries, keys and values, and a cotangent."""
    generator = np.random.default_rng(0)
    queries, cotangent = generator.standard_normal((2, rows, length, heads[0], 8))
    keys, values = generator.standard_normal((2, rows, length, heads[1], 8))
    return QKV(*(jnp.asarray(each, dtype) for each in (queries, keys, values))), jnp.asarray(cotangent, dtype)


def spans() -> dict[str, Span]:
    """Return three rows in several layouts, with the positions of their tokens."""
    whole, packed, left, nothing = (np.full((3, LENGTH), fill) for fill in (1, 0, 0, 0))
    packed[0, :36], packed[1, :13], packed[1, 13:29], packed[1, 29:] = 1, 1, 2, 3
    packed[2, :9], packed[2, 9:10], packed[2, 10:30] = 1, 2, 3
    left[0, 7:], left[1, 1:], left[2] = 1, 1, 1
    until = np.full((3, LENGTH), LENGTH)
    until[:, 15:24] = 24
    # The second branch goes on where the prefix ends: a window reaches over the first one.
    apart = span_of(whole, until, 1)._replace(positions=jnp.asarray(np.tile(np.r_[:24, 15:34], (3, 1))))
    return {
        "whole": span_of(whole, None, 1),
        "packed": span_of(packed, None, 3),
        "left": span_of(left, None, 1),
        "branches": apart,
        "padding": span_of(nothing, None, 1),
        "branches of padding": span_of(nothing, nothing, 1),
    }


def span_of(segment_ids: Any, visible_until: Any, max_segments: int) -> Span:
    """Return a span whose positions count from 0 in every segment."""
    indices, starts = np.arange(segment_ids.shape[1]), np.diff(segment_ids, axis=1, prepend=-1) != 0
    positions = indices - np.maximum.accumulate(np.where(starts, indices, 0), axis=1)
    until = None if visible_until is None else jnp.asarray(visible_until)
    return Span(jnp.asarray(positions), jnp.asarray(segment_ids), until, max_segments)


def by_all_scores(qkv: QKV, cotangent: Any, span: Span, spec: AttentionSpec) -> list[np.ndarray]:
    """Return values and gradients by attention that holds all scores."""
    return values_and_gradients(lambda qkv: attention(qkv, span, spec), qkv, cotangent, span)


def values_and_gradients(
    function: Callable[[QKV], Any], qkv: QKV, cotangent: Any, span: Span
) -> list[np.ndarray]:
    """Return what is found and the three gradients; padding, which nobody reads, is 0 in both."""
    real = (span.segment_ids > 0)[..., None, None]

    def total(qkv: QKV) -> tuple[Any, Any]:
        found = function(qkv)
        return jnp.vdot(found, jnp.where(real, cotangent, 0)), found

    gradients, found = jax.jit(jax.grad(total, has_aux=True))(qkv)
    assert np.isfinite(np.asarray(found, np.float64)).all(), "padding too has to be finite"
    return [np.asarray(each, np.float64) for each in (jnp.where(real, found, 0), *gradients)]


def distance(actual: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """Return the largest distance of an array to the expected one, in norms of that."""
    pairs = zip(actual, expected, strict=True)
    # Python's own `max` would drop a NaN.
    return float(np.max([np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) for ours, theirs in pairs]))

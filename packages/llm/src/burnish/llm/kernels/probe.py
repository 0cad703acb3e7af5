"""Whether a kernel computes what it is asked for on the machine at hand, on a small batch."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from burnish.llm.attention import QKV, AttentionSpec, Span, attention
from burnish.llm.kernels.protocol import Attention, AttentionCase

ROWS, LENGTH = 3, 384
"""At most, of a probe."""
SLACK, LEAST = 2.0, 1e-5
"""How much farther from fp32 a kernel may be than all scores in its dtype, and what is near enough anyway."""


def disparity(kernel: Attention, case: AttentionCase) -> str | None:
    """Return how a kernel departs from attention by all scores, forward or backward; None where it does not.

    The batch has the case's heads, dtype and spec, its windows as far as they show in it, and rows that are
    padded on either side and packed as the case allows.
    """
    length = min(case.length, LENGTH)
    window = None if case.spec.window is None else min(case.spec.window, max(1, length // 3))
    segments = 3 if case.max_segments is None else min(case.max_segments, 3)
    spec = replace(case.spec, window=window)
    return _disparity(kernel, replace(case, spec=spec, rows=ROWS, length=length, max_segments=segments))


@cache
def _disparity(kernel: Attention, case: AttentionCase) -> str | None:
    qkv, cotangent, span = _batch(case)
    exact = _outcome(_by_all_scores(case.spec), _exact(qkv), _exact(cotangent), span)
    is_exact = case.dtype == "float32"
    usual = exact if is_exact else _outcome(_by_all_scores(case.spec), qkv, cotangent, span)
    try:
        found = _outcome(lambda qkv, span: kernel(qkv, span, case), qkv, cotangent, span)
    except Exception as error:  # noqa: BLE001 - whatever a kernel raises here, another one computes
        return " ".join(f"fails in its probe: {type(error).__name__}: {error}".split())[:200]
    names = ("values", *(f"gradients of {name}" for name in QKV._fields))
    for name, ours, theirs, right in zip(names, found, usual, exact, strict=True):
        allowed = max(LEAST, SLACK * _distance(theirs, right))
        if not _distance(ours, right) <= allowed:
            return f"its {name} are {_distance(ours, right):.1e} from those of xla, allowed are {allowed:.1e}"
    return None


def _by_all_scores(spec: AttentionSpec) -> Callable[[QKV, Span], Any]:
    return lambda qkv, span: attention(qkv, span, spec)


def _exact(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(np.float32), tree)


def _batch(case: AttentionCase) -> tuple[QKV, Any, Span]:
    """Return numpy arrays: nothing here may be a part of a program that is being traced."""
    generator, dtype = np.random.default_rng(0), jnp.dtype(case.dtype)
    shape = (ROWS, case.length, case.num_heads, case.head_dim)
    shared = (ROWS, case.length, case.num_kv_heads, case.head_dim)
    queries: Any
    keys: Any
    queries, cotangent = (generator.standard_normal(shape).astype(dtype) for _ in range(2))
    values: Any
    keys, values = (generator.standard_normal(shared).astype(dtype) for _ in range(2))
    return QKV(queries, keys, values), cotangent, _span(case)


def _span(case: AttentionCase) -> Span:
    """Return a row without padding, one that is padded behind, and one that is padded before."""
    assert case.max_segments is not None, "a probe knows its rows"
    length, pad = case.length, case.length // 5
    segments: Any
    positions: Any
    segments, positions = np.zeros((2, ROWS, length), np.int32)
    for row, (start, end) in enumerate(((0, length), (0, length - pad), (pad, length))):
        cuts = np.linspace(start, end, case.max_segments + 1).astype(int)
        for number in range(case.max_segments):
            here = slice(cuts[number], cuts[number + 1])
            segments[row, here] = number + 1
            positions[row, here] = np.arange(cuts[number + 1] - cuts[number])
    until: Any = np.full((ROWS, length), length, np.int32)
    until[:, length // 4 : length // 2] = length // 2
    return Span(positions, segments, until if case.has_branches else None)


def _outcome(function: Callable[[QKV, Span], Any], qkv: QKV, cotangent: Any, span: Span) -> list[Any]:
    """Return values and gradients of what is no padding, compiled ahead: the caller may be in a trace."""
    real = (span.segment_ids > 0)[..., None, None]

    def run(qkv: QKV, cotangent: Any, span: Span) -> tuple[Any, QKV]:
        found, pull = jax.vjp(lambda qkv: function(qkv, span), qkv)
        return found, pull(jnp.where(real, cotangent, 0).astype(found.dtype))[0]

    found, gradients = jax.jit(run).lower(qkv, cotangent, span).compile()(qkv, cotangent, span)
    return [np.where(real, np.asarray(each, np.float64), 0) for each in (found, *gradients)]


def _distance(actual: Any, expected: Any) -> float:
    """Return the norm of the difference in norms of what is expected."""
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))

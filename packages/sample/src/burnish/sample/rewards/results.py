"""What somebody's reward has returned, read as results: numbers are scores, anything else is its failure."""

import math
from collections.abc import Sequence
from typing import Any, SupportsFloat, cast

import numpy as np

from burnish.sample.rewards.protocol import SILENT, RewardResult, failed

UNREADABLE = ("no_list", "wrong_count", "no_number")
"""Reasons of failures that lie in what a reward returns, whatever it was asked about."""


def read_results(returned: Any, count: int) -> list[RewardResult]:
    """Return one result per sample; where there are not as many to read, every sample's has failed."""
    values = np.asarray(returned) if hasattr(returned, "__array__") else returned
    kind = type(returned).__name__
    if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, np.ndarray)):
        return [failed(f"no_list: it returned a {kind} for {count} samples")] * count
    results = list(np.atleast_1d(values) if isinstance(values, np.ndarray) else cast("Sequence[Any]", values))
    if len(results) != count:
        return [failed(f"wrong_count: it returned {len(results)} results for {count} samples")] * count
    return [read_result(result) for result in results]


def read_result(value: Any) -> RewardResult:
    """Return a `RewardResult` as it is, a finite number as a score, and anything else as a failure."""
    if isinstance(value, RewardResult):
        return read_result(value.value) if value.status == "scored" else value
    if value is None:
        return SILENT
    plain = np.asarray(value) if hasattr(value, "__array__") else value
    if isinstance(plain, np.ndarray):
        plain = plain.item() if plain.size == 1 else None
    if not isinstance(plain, SupportsFloat):
        return failed(f"no_number: it returned {value!r:.40}, a {type(value).__name__}, for a sample")
    number = float(plain)
    return RewardResult(number) if math.isfinite(number) else failed(f"not_finite: {number}")

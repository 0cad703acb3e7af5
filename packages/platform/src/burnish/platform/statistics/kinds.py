"""Kinds of statistics beyond a value and a (sum, count)."""

from typing import Any, NamedTuple


class Maximum(NamedTuple):
    """A value of which the largest is kept: over micro-batches, devices, updates and samples."""

    value: Any

"""Statistics of one step: collected by name, summed over batches, summarized once.

What travels is (sum, count), so that a mean over parts is the mean over the whole. Values may be arrays on a
device: they are read when the step is summarized, not when they are recorded.
"""

import time
from collections.abc import Generator, Mapping, Set
from contextlib import contextmanager
from typing import Any, Literal, SupportsFloat

from burnish.platform.statistics.kinds import Maximum

Statistic = SupportsFloat | tuple[SupportsFloat, SupportsFloat] | Maximum
"""A value, a sum with the count to divide it by, or a value of which the largest is kept."""


_Kind = Literal["mean", "sum", "minimum", "maximum"]


class StatsTracker:
    """Collect statistics by name; names are paths such as `train/loss`, given whole or through `scope`."""

    def __init__(self) -> None:
        """Begin empty."""
        self._kinds: dict[str, _Kind] = {}
        self._values: dict[str, list[tuple[Any, Any]]] = {}
        self._prefix = ""

    def scalar(self, name: str, value: SupportsFloat) -> None:
        """Record a value; several of one name are averaged."""
        self._record(name, "mean", value, 1)

    def ratio(self, name: str, total: SupportsFloat, count: SupportsFloat) -> None:
        """Record a part of a mean: totals and counts are summed and divided; a count of 0 leaves no value."""
        self._record(name, "mean", total, count)

    def sum(self, name: str, value: SupportsFloat) -> None:
        """Record a part of a sum."""
        self._record(name, "sum", value, 1)

    def minimum(self, name: str, value: SupportsFloat) -> None:
        """Record a value of which the smallest is kept."""
        self._record(name, "minimum", value, 1)

    def maximum(self, name: str, value: SupportsFloat) -> None:
        """Record a value of which the largest is kept."""
        self._record(name, "maximum", value, 1)

    @contextmanager
    def timing(self, name: str) -> Generator[None]:
        """Add the seconds spent in the `with` block to `time/<name>_seconds`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._append(f"time/{self._prefix}{name}_seconds", "sum", time.perf_counter() - started, 1)

    @contextmanager
    def scope(self, prefix: str) -> Generator[None]:
        """Put `prefix/` before every name recorded in the `with` block; scopes nest."""
        outer = self._prefix
        self._prefix = f"{outer}{prefix}/"
        try:
            yield
        finally:
            self._prefix = outer

    def merge(self, other: "StatsTracker | Mapping[str, Statistic]") -> None:
        """Add what another tracker, or a mapping of values, (sum, count) pairs and maxima, has collected."""
        if isinstance(other, StatsTracker):
            for name, kind in other._kinds.items():
                for total, count in other._values[name]:
                    self._record(name, kind, total, count)
            return
        for name, value in other.items():
            if isinstance(value, Maximum):
                self._record(name, "maximum", value.value, 1)
                continue
            total, count = value if isinstance(value, tuple) else (value, 1)
            self._record(name, "mean", total, count)

    def __iadd__(self, other: "StatsTracker | Mapping[str, Statistic]") -> "StatsTracker":
        """Merge `other` into this tracker."""
        self.merge(other)
        return self

    @property
    def names(self) -> Set[str]:
        """The names recorded so far."""
        return self._kinds.keys()

    @property
    def is_ready(self) -> bool:
        """Whether `summary` would not wait for a device."""
        numbers = (number for values in self._values.values() for pair in values for number in pair)
        return all(map(_is_ready, numbers))

    def summary(self) -> dict[str, float]:
        """Return one number per name, sorted by name; a mean over nothing is left out."""
        numbers: dict[str, float] = {}
        for name in sorted(self._kinds):
            number = _summarize(self._kinds[name], self._values[name])
            if number is not None:
                numbers[name] = number
        return numbers

    def _record(self, name: str, kind: _Kind, total: Any, count: Any) -> None:
        self._append(self._prefix + name, kind, total, count)

    def _append(self, name: str, kind: _Kind, total: Any, count: Any) -> None:
        known = self._kinds.setdefault(name, kind)
        if known != kind:
            raise ValueError(f"'{name}' is recorded as {kind} and was recorded as {known}: use two names")
        self._values.setdefault(name, []).append((total, count))


def _summarize(kind: _Kind, values: list[tuple[Any, Any]]) -> float | None:
    totals = [float(total) for total, _ in values]
    if kind == "minimum":
        return min(totals)
    if kind == "maximum":
        return max(totals)
    if kind == "sum":
        return sum(totals)
    count = sum(float(count) for _, count in values)
    return sum(totals) / count if count else None


def _is_ready(number: Any) -> bool:
    """Return whether a number is there; only what a device computes, such as a `jax.Array`, can say no."""
    # `isinstance` of a protocol with this method takes longer than reading the number.
    is_ready = getattr(number, "is_ready", None)
    return is_ready is None or is_ready()

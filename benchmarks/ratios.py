"""From paired measurements to a ratio with its interval, and from ratios to a verdict."""

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BARS: dict[tuple[str, str, str], float] = {
    ("sft-2k", "cpu", "hf"): 1.0,
    ("sft-2k", "cpu", "tunix"): 1.2,
    ("sft-ragged", "cpu", "hf"): 1.5,
    ("sft-ragged", "cpu", "tunix"): 1.5,
}
"""(workload, size, peer) to what the lower end of the ratio has to reach; what has no entry passes."""


WALL, PROCESSOR = "median_seconds", "cpu_seconds"
"""The fields of a result that are compared: seconds of a call, and seconds of all its threads."""


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times faster burnish is than a peer by one clock: median over pairs and 90 % interval."""

    workload: str
    size: str
    peer: str
    clock: str
    ratio: float
    low: float
    high: float
    num_pairs: int


def bootstrap_interval(
    values: Sequence[float], *, coverage: float = 0.9, num_resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the median of `values`; equal arguments, equal interval."""
    if not values:
        raise ValueError("an interval needs at least one value")
    generator = random.Random(seed)
    medians = sorted(
        statistics.median(generator.choices(values, k=len(values))) for _ in range(num_resamples)
    )
    tail = round((1 - coverage) / 2 * (num_resamples - 1))
    return medians[tail], medians[-1 - tail]


def compare(results: Sequence[Mapping[str, Any]], system: str, peer: str, clock: str) -> Ratio:
    """Return peer seconds over system's by the field `clock`; their results lie in the order of the pairs."""
    ours, theirs = ([each[clock] for each in results if each["system"] == name] for name in (system, peer))
    pairs = [slower / faster for faster, slower in zip(ours, theirs, strict=True)]
    low, high = bootstrap_interval(pairs)
    return Ratio(
        workload=results[0]["workload"],
        size=results[0]["size"],
        peer=peer,
        clock=clock,
        ratio=statistics.median(pairs),
        low=low,
        high=high,
        num_pairs=len(pairs),
    )


def below_bar(ratios: Sequence[Ratio], bars: Mapping[tuple[str, str, str], float]) -> list[str]:
    """Return one line for each ratio by the wall clock whose interval's lower end is under its bar."""
    failures = []
    for entry in ratios:
        bar = bars.get((entry.workload, entry.size, entry.peer))
        if bar is not None and entry.clock == WALL and entry.low < bar:
            failures.append(
                f"{entry.workload} at size {entry.size}: burnish/{entry.peer} is {entry.ratio:.3f}, and its "
                f"lower end {entry.low:.3f} is under the bar of {bar}"
            )
    return failures

"""Which checkpoints to keep: pure functions of the steps, their scores and the limits."""

import math
from collections.abc import Iterable, Mapping
from typing import Literal

Mode = Literal["max", "min"]


def best_step(scores: Mapping[int, float], mode: Mode) -> int | None:
    """Return the step with the highest ("max") or lowest ("min") score, the earliest of equals.

    Scores that are NaN are no scores; None when none is left.
    """
    ranked = [step for step in sorted(scores) if not math.isnan(scores[step])]
    if not ranked:
        return None
    sign = 1 if mode == "max" else -1
    return max(ranked, key=lambda step: (sign * scores[step], -step))


def improves(score: float, scores: Mapping[int, float], mode: Mode) -> bool:
    """Say whether `score` is strictly better than each of `scores`."""
    best = best_step(scores, mode)
    if math.isnan(score):
        return False
    if best is None:
        return True
    return score > scores[best] if mode == "max" else score < scores[best]


def steps_to_remove(steps: Iterable[int], last: int, best: int | None, limit: int | None) -> list[int]:
    """Return the steps to remove, oldest first, so that the newest `limit` and `best` stay.

    Neither `last`, the one just written, nor `best` is ever among them; no `limit` removes nothing.
    """
    if limit is None:
        return []
    present = sorted(steps)
    kept = {last, best, *present[-limit:]}
    return [step for step in present if step not in kept]

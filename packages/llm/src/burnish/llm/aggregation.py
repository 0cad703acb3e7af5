"""How values per token become one loss: the weights that a sum over the global batch is taken with.

Token mean, sequence mean and constant are three ways to fill one column, each normalized over the whole batch
before anything splits it, so no micro-batch, device or padding row can change a denominator.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from burnish.llm.sequence import LOSS_WEIGHTS, Sample

Aggregation = Literal["token_mean", "sequence_mean", "constant"]


@dataclass(frozen=True, kw_only=True)
class BatchTotals:
    """What the weights are normalized by, summed over the global batch."""

    tokens: float
    """Sum of the loss weights: where they are 0 and 1, the number of trained tokens."""

    sequences: int
    """Trained trajectories; a sample that is none's piece is one."""

    by_trajectory: Mapping[Hashable, float] = field(default_factory=dict[Hashable, float])
    """Sum of the loss weights of each trajectory that lies in pieces."""

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> BatchTotals:
        """Add up the samples of a global batch, those of other processes included."""
        num_whole, tokens = 0, 0.0
        by_trajectory: dict[Hashable, float] = {}
        for sample in samples:
            weight = sample.total_weight
            tokens += weight
            if sample.trajectory is None:
                num_whole += weight > 0
            else:
                by_trajectory[sample.trajectory] = by_trajectory.get(sample.trajectory, 0.0) + weight
        num_pieced = sum(weight > 0 for weight in by_trajectory.values())
        return cls(tokens=tokens, sequences=num_whole + num_pieced, by_trajectory=by_trajectory)


def token_weights(
    sample: Sample, aggregation: Aggregation, totals: BatchTotals, max_length: int
) -> Float[np.ndarray, " t"]:
    """Weigh each token of a sample so that summing `value * weight` over the global batch aggregates it.

    With w the loss weights, N their sum and B the trained trajectories of the global batch: `token_mean`
    w / N, `sequence_mean` w / (B sum(w over the trajectory)), `constant` w / (B max_length) (Dr. GRPO). The
    first token, which nothing precedes, counts as 0.
    """
    weights = sample.columns[LOSS_WEIGHTS].astype(np.float64)
    weights[:1] = 0.0
    total = sample.total_weight
    if total == 0:
        return weights.astype(np.float32)
    if sample.trajectory is not None:
        total = totals.by_trajectory[sample.trajectory]
    denominators: dict[Aggregation, float] = {
        "token_mean": totals.tokens,
        "sequence_mean": totals.sequences * total,
        "constant": totals.sequences * max_length,
    }
    return (weights / denominators[aggregation]).astype(np.float32)

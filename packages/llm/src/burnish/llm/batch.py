"""Rows of tokens of one shape, and the weights that turn values per token into the loss.

Aggregation is data: token mean, sequence mean and constant are three ways to fill the column `weights`, each
normalised over the whole batch before anything splits it. The step only ever sums `values * weights`, so no
micro-batch, device or padding row can change a denominator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from burnish.llm.sequence import LOSS_MASK, Sample
from burnish.platform.errors import DataError

Aggregation = Literal["token_mean", "sequence_mean", "constant"]
PaddingSide = Literal["left", "right"]
WEIGHTS = "weights"


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class TokenBatch:
    """Rows of one length: what a forward pass reads, and named columns beside it.

    The arrays are numpy on the host and of jax in the step, where a batch of micro-batches has one more axis
    in front. Segment 0 is padding. Entry t of a column belongs to `tokens[t]` given what precedes it in its
    segment; the first entry of a segment has weight 0.
    """

    tokens: Int[Any, "*m b t"]
    positions: Int[Any, "*m b t"]
    segment_ids: Int[Any, "*m b t"]
    columns: Mapping[str, Float[Any, "*m b t"]]

    @property
    def weights(self) -> Any:
        """The factor of each value in the loss; 0 wherever nothing is trained."""
        return self.columns[WEIGHTS]

    @property
    def trained(self) -> Any:
        """Where a token is trained on: 1, elsewhere 0."""
        return (self.columns[WEIGHTS] != 0).astype(np.float32)


class BatchTotals(NamedTuple):
    """What the weights are normalised by: trained tokens and trained sequences of the global batch."""

    tokens: int
    sequences: int

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> BatchTotals:
        """Count what is trained in `samples`; with several processes, sum the counts before using them."""
        counts = [sample.num_trained_tokens for sample in samples]
        return cls(tokens=sum(counts), sequences=sum(count > 0 for count in counts))


def make_batch(
    samples: Sequence[Sample],
    *,
    num_rows: int,
    length: int,
    pad_token_id: int,
    aggregation: Aggregation = "token_mean",
    columns: Sequence[str] = (),
    max_length: int | None = None,
    padding_side: PaddingSide = "right",
    totals: BatchTotals | None = None,
) -> TokenBatch:
    """Lay samples out as `num_rows` rows of `length` tokens; rows beyond the samples have weight 0.

    `columns` names the sample columns to carry along beside `weights`. `max_length` is the constant that
    `constant` divides by, per sequence; it defaults to `length`. `totals` are those of the global batch when
    this process holds a part of it. Raises `DataError` when a sample does not fit.
    """
    if len(samples) > num_rows:
        raise DataError(f"{len(samples)} samples do not fit a batch of {num_rows} rows; make it larger")
    totals = totals or BatchTotals.of(samples)
    shape = (num_rows, length)
    tokens = np.full(shape, pad_token_id, np.int32)
    positions, segment_ids = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    filled = {name: np.zeros(shape, np.float32) for name in (*columns, WEIGHTS)}
    for row, sample in enumerate(samples):
        where = _place(sample, length, padding_side)
        tokens[row, where] = sample.tokens
        positions[row, where] = np.arange(len(sample))
        segment_ids[row, where] = 1
        for name in columns:
            filled[name][row, where] = _column(sample, name)
        filled[WEIGHTS][row, where] = token_weights(sample, aggregation, totals, max_length or length)
    return TokenBatch(tokens=tokens, positions=positions, segment_ids=segment_ids, columns=filled)


def token_weights(
    sample: Sample, aggregation: Aggregation, totals: BatchTotals, max_length: int
) -> Float[np.ndarray, " t"]:
    """Weigh each token of a sample so that summing `value * weight` over the global batch aggregates it.

    With m the loss mask, N trained tokens and B trained sequences in the global batch: `token_mean` m / N,
    `sequence_mean` m / (B sum(m)), `constant` m / (B max_length) (Dr. GRPO). The mask of the first token,
    which nothing precedes, counts as 0.
    """
    mask = sample.columns[LOSS_MASK].astype(np.float64)
    mask[:1] = 0.0
    num_trained = int(np.count_nonzero(mask))
    if num_trained == 0:
        return mask.astype(np.float32)
    denominators: dict[Aggregation, int] = {
        "token_mean": totals.tokens,
        "sequence_mean": totals.sequences * num_trained,
        "constant": totals.sequences * max_length,
    }
    return (mask / denominators[aggregation]).astype(np.float32)


def round_up_rows(num_rows: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that holds `num_rows` rows."""
    return -(-num_rows // multiple) * multiple


def _place(sample: Sample, length: int, padding_side: PaddingSide) -> slice:
    if len(sample) > length:
        raise DataError(f"a sample of {len(sample)} tokens does not fit rows of {length}; use longer rows")
    return slice(0, len(sample)) if padding_side == "right" else slice(length - len(sample), length)


def _column(sample: Sample, name: str) -> Float[np.ndarray, " t"]:
    if name not in sample.columns:
        raise DataError(
            f"column {name!r} is not in the sample, which has {', '.join(sorted(sample.columns))}"
        )
    return sample.columns[name]

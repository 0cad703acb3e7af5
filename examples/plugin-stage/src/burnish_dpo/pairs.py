"""From records to pairs of samples, their rows, and what the reference says of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from burnish.llm import Sample, TokenBatch, make_batch, make_sample
from burnish.platform import DataError

REFERENCE = "reference_logprobs"
"""The column of what the reference says of each token: log p, 0 on the prompt."""

Render = Callable[[Mapping[str, Any]], tuple[list[int], list[int]]]


class Pair(NamedTuple):
    """Two completions of one prompt; as a row of a batch they are two sequences that nothing can part."""

    chosen: Sample
    rejected: Sample

    @property
    def num_tokens(self) -> int:
        """The tokens of the row: those of the prompt, which both share, once."""
        return len(self.chosen) + len(self.rejected) - self.chosen.prefix_length

    @property
    def num_positions(self) -> int:
        """The positions that the model needs: both completions begin where the prompt ends."""
        return max(map(len, self))


@dataclass(frozen=True)
class Pairs:
    """Pairs by index, with the fingerprint of the records they were made from."""

    pairs: Sequence[Pair]
    fingerprint: str
    num_left_out: int = 0

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.pairs)

    def __getitem__(self, index: int, /) -> Pair:
        """Return the pair at `index`."""
        return self.pairs[index]

    @property
    def longest(self) -> int:
        """The tokens of the longest row."""
        return max(pair.num_tokens for pair in self.pairs)


@dataclass(frozen=True)
class PairLayout:
    """The one shape of every batch, so that nothing compiles after the first."""

    num_rows: int
    length: int
    pad_token_id: int

    def __call__(self, pairs: Sequence[Pair], columns: Sequence[str] = ()) -> TokenBatch:
        """Return the batch [b t] with a pair per row: sequence 1 is the chosen one, 2 the rejected.

        By `sequence_mean` every sequence weighs the same, so that values per sequence become their mean.
        """
        return make_batch(
            pairs,
            num_rows=self.num_rows,
            length=self.length,
            pad_token_id=self.pad_token_id,
            aggregation="sequence_mean",
            columns=columns,
            shares_prefixes=True,
            max_sequences=2,
        )

    def batch_like(self) -> TokenBatch:
        """Return what every batch that is trained on looks like."""
        return TokenBatch.like(
            num_rows=self.num_rows,
            length=self.length,
            columns=[REFERENCE],
            shares_prefixes=True,
            max_sequences=2,
        )


def encode(records: Any, render: Render, max_length: int, positions: int | None = None) -> Pairs:
    """Return the pairs of a source's records that fit `max_length` and the model's positions.

    DataError names a record that is no pair.
    """
    every = [_pair(index, records[index], render) for index in range(len(records))]
    short = [pair for pair in every if pair.num_tokens <= max_length]
    if not short:
        raise DataError(f"none of {len(every)} pairs has max_length={max_length} tokens or less; raise it")
    kept = [pair for pair in short if positions is None or pair.num_positions <= positions]
    if not kept:
        raise DataError(f"none of {len(short)} pairs fits the model's {positions} positions; shorten them")
    return Pairs(kept, records.fingerprint, len(every) - len(kept))


def with_reference(pairs: Pairs, layout: PairLayout, training: Any) -> Pairs:
    """Return the pairs with what the trainer's weights say of every token of them.

    Called before the first update, which makes the weights that arrived the reference; nothing of it is
    saved, for a resumed run starts with the same weights and computes the same.
    """
    scored = []
    for start in range(0, len(pairs), layout.num_rows):
        rows = pairs.pairs[start : start + layout.num_rows]
        batch = layout(rows)
        logprobs = np.asarray(training.score(batch, ["logprobs"])["logprobs"])
        for pair, logprobs_t, sequences_t in zip(rows, logprobs, batch.sequences, strict=False):
            columns = [logprobs_t[sequences_t == number] for number in (1, 2)]
            scored.append(Pair(*map(_with_column, pair, columns)))
    return replace(pairs, pairs=scored)


def _pair(index: int, record: Mapping[str, Any], render: Render) -> Pair:
    missing = [name for name in ("prompt", "chosen", "rejected") if not isinstance(record.get(name), str)]
    if missing:
        raise DataError(f"pairs: record {index} has no text '{missing[0]}'; it has {', '.join(record)}")
    if record["chosen"] == record["rejected"]:
        raise DataError(f"pairs: record {index} rejects what it chooses; leave it out")
    samples = [
        make_sample(*render({"prompt": record["prompt"], "completion": record[name]}), record=record)
        for name in ("chosen", "rejected")
    ]
    return Pair(*samples)


def _with_column(sample: Sample, logprobs_t: np.ndarray) -> Sample:
    """Return the sample with the column: what is no prompt has an entry, as only that is its own."""
    column = np.zeros(len(sample), np.float32)
    column[sample.prefix_length :] = logprobs_t
    return replace(sample, columns={**sample.columns, REFERENCE: column})

"""Rows of tokens of one shape, what is known of each token, and how much each counts in the loss.

The step only ever sums `values * weights`: how tokens are averaged is in the column `weights` alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Float, Int

from burnish.llm.aggregation import Aggregation, BatchTotals, token_weights
from burnish.llm.packing import NONE, Place, Row, lay_out, shifted
from burnish.llm.sequence import TEMPERATURE, Sample
from burnish.platform.errors import DataError

PaddingSide = Literal["left", "right"]
WEIGHTS = "weights"


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class TokenBatch:
    """Rows of one length: what a forward pass reads, and named columns beside it.

    The arrays are numpy on the host and of jax in the step, where a batch of micro-batches has one more axis
    in front. Segment 0 is padding. Entry t of a column belongs to `tokens[t]` given its predecessor and what
    precedes that; the first entry of a sequence has weight 0.
    """

    tokens: Int[Any, "*m b t"]
    positions: Int[Any, "*m b t"]
    segment_ids: Int[Any, "*m b t"]
    sequences: Int[Any, "*m b t"]
    """The number of a token's sequence in its row, from 1; 0 where several share it, and in padding."""

    sample_ids: Int[Any, "*m b t"]
    """The number of a token's sample in its step, from 0: noise is keyed by it, never by a place."""

    columns: Mapping[str, Float[Any, "*m b t ..."]]
    predecessors: Int[Any, "*m b t"] | None = None
    """The index whose hidden state predicts a token, -1 where there is none; None is t - 1 in a segment."""

    visible_until: Int[Any, "*m b t"] | None = None
    """Key j is seen by query i of its segment when j <= i < visible_until[j]; None is to its end."""

    scalars: Mapping[str, Float[Any, ""]] = field(default_factory=dict)
    """Coefficients that may move from step to step; they are traced, so a change compiles nothing."""

    noise_words: Any = None
    """Five words that name this step's noise (`device.randomness` of platform); None where nobody asks."""

    max_sequences: int = field(default=1, metadata={"static": True})
    """Most sequences of a row: the `s` of values per sequence `[b s]`."""

    @classmethod
    def like(
        cls,
        *,
        num_rows: int,
        length: int,
        columns: Sequence[str] = (),
        shares_prefixes: bool = False,
        max_sequences: int = 1,
    ) -> TokenBatch:
        """Return shapes and dtypes of the batches that `make_batch` makes with these arguments.

        `columns` are those that lie beside the weights, the temperature of sampled tokens among them.
        """
        integers = jax.ShapeDtypeStruct((num_rows, length), np.int32)
        numbers = jax.ShapeDtypeStruct((num_rows, length), np.float32)
        branches = integers if shares_prefixes else None
        return cls(
            tokens=integers,
            positions=integers,
            segment_ids=integers,
            sequences=integers,
            sample_ids=integers,
            columns=dict.fromkeys([*columns, WEIGHTS], numbers),
            predecessors=branches,
            visible_until=branches,
            max_sequences=max_sequences,
        )

    @property
    def weights(self) -> Any:
        """The factor of each value in the loss; 0 wherever nothing is trained."""
        return self.columns[WEIGHTS]

    @property
    def trained(self) -> Any:
        """Where a token is trained on: 1, elsewhere 0."""
        return (self.columns[WEIGHTS] != 0).astype(np.float32)


def make_batch(
    rows: Sequence[Sample | Sequence[Sample]],
    *,
    num_rows: int,
    length: int,
    pad_token_id: int,
    aggregation: Aggregation = "token_mean",
    columns: Sequence[str] = (),
    max_length: int | None = None,
    padding_side: PaddingSide = "right",
    shares_prefixes: bool = False,
    max_sequences: int | None = None,
    totals: BatchTotals | None = None,
) -> TokenBatch:
    """Lay samples out as `num_rows` rows of `length` tokens; rows beyond the given ones have weight 0.

    A row is one sample, or several: one after another, or with `shares_prefixes` as branches of the prefixes
    that neighbors have in common. `columns` names the sample columns to carry along beside `weights` and the
    temperature. `max_length` is the constant that `constant` divides by, per sequence; it defaults to
    `length`. `max_sequences` bounds the samples of a row, so that every batch has one shape. `totals` are
    those of the global batch when this process holds a part of it. Raises `DataError` when a row does not
    fit.
    """
    packed = [[row] if isinstance(row, Sample) else list(row) for row in rows]
    most = max((len(row) for row in packed), default=1)
    if len(packed) > num_rows:
        raise DataError(f"{len(packed)} samples do not fit a batch of {num_rows} rows; make it larger")
    if max_sequences is not None and most > max_sequences:
        raise DataError(f"a row of {most} samples is beyond max_sequences={max_sequences}; raise it")
    samples = [sample for row in packed for sample in row]
    totals = totals or BatchTotals.of(samples)
    filling = _Filling((num_rows, length), samples, columns, is_tree=shares_prefixes)
    for row, members in enumerate(packed):
        weights = [token_weights(each, aggregation, totals, max_length or length) for each in members]
        laid = lay_out(members, shares_prefixes=shares_prefixes)
        offset = _offset(laid, length, padding_side)
        filling.add(row, offset, laid)
        places = [shifted(place, offset) for place in laid.places]
        filling.add_samples(row, members, places, weights)
    return filling.batch(pad_token_id, max_sequences or most)


class _Filling:
    """Arrays of a batch on their way; what no row fills is padding."""

    def __init__(
        self, shape: tuple[int, int], samples: Sequence[Sample], columns: Sequence[str], *, is_tree: bool
    ) -> None:
        carried = [name for name in (TEMPERATURE,) if any(name in sample.columns for sample in samples)]
        self._names = list(dict.fromkeys([*columns, *carried]))
        fills = {**_FILLS, **(_TREE_FILLS if is_tree else {})}
        self._arrays: dict[str, Any] = {name: np.full(shape, fill, np.int32) for name, fill in fills.items()}
        self._sample_ids = np.zeros(shape, np.int32)
        self._columns = {
            name: np.zeros((*shape, *_trailing(samples, name)), np.float32)
            for name in (*self._names, WEIGHTS)
        }
        self._is_tree = is_tree
        self._num_samples = 0

    def add(self, row: int, offset: int, laid: Row) -> None:
        """Put the tokens of a row at `offset`."""
        where = slice(offset, offset + len(laid))
        for name, array in self._arrays.items():
            array[row, where] = getattr(laid, name)
        if self._is_tree and offset:
            self._arrays["predecessors"][row, where] += np.where(laid.predecessors == NONE, 0, offset)
            self._arrays["visible_until"][row, where] += offset

    def add_samples(
        self,
        row: int,
        samples: Sequence[Sample],
        places: Sequence[Place],
        weights: Sequence[Float[np.ndarray, " t"]],
    ) -> None:
        """Put the columns of samples whose tokens lie at `places` of a row; a shared token is the first's."""
        for number in reversed(range(len(samples))):
            sample, where, place = samples[number], places[number], self._num_samples + number
            for name in self._names:
                self._columns[name][row, where] = _column(sample, name)
            self._columns[WEIGHTS][row, where] = weights[number]
            self._sample_ids[row, where] = place if sample.sample_id is None else sample.sample_id
        self._num_samples += len(samples)

    def batch(self, pad_token_id: int, max_sequences: int) -> TokenBatch:
        """Return the batch."""
        length = self._sample_ids.shape[1]
        if max_sequences >= length:
            raise DataError(
                f"rows of {length} tokens cannot hold {max_sequences} sequences, each with a token that "
                "nothing precedes; use longer rows"
            )
        arrays = dict(self._arrays)
        arrays["tokens"] = np.where(arrays["segment_ids"] == 0, np.int32(pad_token_id), arrays["tokens"])
        return TokenBatch(
            **arrays, sample_ids=self._sample_ids, columns=self._columns, max_sequences=max_sequences
        )


_FILLS = {"tokens": 0, "positions": 0, "segment_ids": 0, "sequences": 0}
_TREE_FILLS = {"predecessors": NONE, "visible_until": 0}
"""The integer arrays of a batch and what padding holds; without a tree two follow from the segments."""


def round_up_rows(num_rows: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that holds `num_rows` rows."""
    return -(-num_rows // multiple) * multiple


def _offset(row: Row, length: int, padding_side: PaddingSide) -> int:
    if len(row) > length:
        raise DataError(f"a sample of {len(row)} tokens does not fit rows of {length}; use longer rows")
    return 0 if padding_side == "right" else length - len(row)


def _trailing(samples: Sequence[Sample], name: str) -> tuple[int, ...]:
    found = (sample.columns[name].shape[1:] for sample in samples if name in sample.columns)
    return next(found, ())


def _column(sample: Sample, name: str) -> Float[np.ndarray, "t ..."] | float:
    if name == TEMPERATURE:
        return sample.columns.get(name, 0.0)
    if name not in sample.columns:
        raise DataError(
            f"column {name!r} is not in the sample, which has {', '.join(sorted(sample.columns))}"
        )
    return sample.columns[name]

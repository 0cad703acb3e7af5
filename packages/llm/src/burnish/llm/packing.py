"""Which samples share a row, and how they lie in it: one after another, or as branches of shared prefixes.

In depth-first order one rule covers packing, shared prefixes and tries: key j is seen by query i when
j <= i < visible_until[j].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
from jaxtyping import Int32

from burnish.llm.sequence import Sample
from burnish.platform.errors import DataError

NONE = -1
"""The predecessor of a token that nothing precedes."""


Place = slice | Int32[np.ndarray, " t"]
"""Indices of a row: a stretch where they follow each other, which numpy copies faster, else one by one."""


@dataclass(frozen=True)
class Row:
    """Samples laid out in one row, without padding, and where each of their tokens went."""

    tokens: Int32[np.ndarray, " t"]
    positions: Int32[np.ndarray, " t"]
    """Place of a token in its own text, from 0."""

    segment_ids: Int32[np.ndarray, " t"]
    """From 1: samples that share a prefix are one segment, and no other sees it."""

    sequences: Int32[np.ndarray, " t"]
    """From 1: the sample that a token belongs to; 0 where several share it."""

    predecessors: Int32[np.ndarray, " t"]
    visible_until: Int32[np.ndarray, " t"]
    places: tuple[Place, ...]
    """For each sample, where in the row its tokens are."""

    def __len__(self) -> int:
        """Return the tokens of the row; a shared one counts once."""
        return len(self.tokens)


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return rows of indices whose lengths fit `capacity`: longest first, each where least is left.

    A function of the lengths alone; indices of a row rise, and rows are in the order of their first one. It
    needs at most 11/9 of the fewest rows, and 6/9 of one. Raises `DataError` for a length
    beyond the capacity.
    """
    rows, room = list[list[int]](), list[int]()
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if lengths[index] > capacity:
            raise DataError(f"a sample of {lengths[index]} tokens does not fit a row of {capacity}")
        fitting = [row for row, left in enumerate(room) if left >= lengths[index]]
        if not fitting:
            rows.append([])
            room.append(capacity)
            fitting = [len(rows) - 1]
        chosen = min(fitting, key=room.__getitem__)
        rows[chosen].append(index)
        room[chosen] -= lengths[index]
    return sorted(sorted(row) for row in rows)


def lay_out(samples: Sequence[Sample], *, shares_prefixes: bool = False) -> Row:
    """Return the row of these samples, in their order.

    With `shares_prefixes`, neighbors whose prefixes (`Sample.prefix_length`) are equal hold it once.
    """
    if len(samples) == 1 and not shares_prefixes:
        return Row(tokens=samples[0].tokens, **_alone(len(samples[0])))
    trees: list[list[Sample]] = [[sample] for sample in samples]
    if shares_prefixes:
        trees = [list(tree) for _, tree in groupby(samples, key=_prefix)]
    segments, start, number = [], 0, 0
    for segment, tree in enumerate(trees, 1):
        segments.append(_tree(tree, segment, start, number))
        start += len(segments[-1])
        number += len(tree)
    if len(segments) == 1:
        return segments[0]
    joined = {
        name: np.concatenate([getattr(row, name) for row in segments])
        for name in ("tokens", "positions", "segment_ids", "sequences", "predecessors", "visible_until")
    }
    return Row(**joined, places=tuple(place for row in segments for place in row.places))


@lru_cache(maxsize=4096)
def _alone(length: int) -> dict[str, Any]:
    """Return the row of one sample but for its tokens, which depends on nothing but its length."""
    indices, ones = np.arange(length, dtype=np.int32), np.ones(length, np.int32)
    arrays = {
        "positions": indices,
        "segment_ids": ones,
        "sequences": ones,
        "predecessors": indices - 1,
        "visible_until": np.full(length, length, np.int32),
    }
    for array in arrays.values():
        array.setflags(write=False)
    return {**arrays, "places": (slice(0, length),)}


def shifted(place: Place, offset: int) -> Place:
    """Return the place in a row that begins at `offset`."""
    return slice(place.start + offset, place.stop + offset) if isinstance(place, slice) else place + offset


def _prefix(sample: Sample) -> bytes:
    if sample.prefix_length == 0:
        raise DataError("samples without a token before the first that is learned share no prefix")
    return sample.tokens[: sample.prefix_length].tobytes()


def _tree(samples: Sequence[Sample], segment: int, start: int, number: int) -> Row:
    """Return the samples of one prefix, which begins at index `start`, numbered from `number` + 1 on."""
    shared = samples[0].prefix_length if len(samples) > 1 else 0
    ends = start + shared + np.cumsum([len(sample) - shared for sample in samples])
    begins = [start + shared, *ends[:-1].tolist()]
    end, prefix = int(ends[-1]), np.arange(start, start + shared)
    indices = np.arange(start, end)
    lengths = [len(sample) - shared for sample in samples]
    places = tuple(
        np.concatenate([prefix, np.arange(begin, begin + length)]).astype(np.int32)
        for begin, length in zip(begins, lengths, strict=True)
    )
    own = np.repeat(np.arange(len(samples)), lengths)
    predecessors = indices - 1
    predecessors[[begin - start for begin in begins]] = start + shared - 1 if shared else NONE
    predecessors[0] = NONE
    tails = [sample.tokens[shared:] for sample in samples]
    return Row(
        tokens=np.concatenate([samples[0].tokens[:shared], *tails]).astype(np.int32),
        positions=np.concatenate([np.arange(shared), *(shared + np.arange(size) for size in lengths)]).astype(
            np.int32
        ),
        segment_ids=np.full(end - start, segment, np.int32),
        sequences=np.concatenate([np.zeros(shared, int), number + 1 + own]).astype(np.int32),
        predecessors=predecessors.astype(np.int32),
        visible_until=np.concatenate([np.full(shared, end), np.asarray(ends)[own]]).astype(np.int32),
        places=places,
    )

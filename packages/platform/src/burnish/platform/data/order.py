"""The order records are read in: a pure function of (seed, epoch, position), so its state is one integer."""

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Int, UInt64

from burnish.platform.checkpoint.snapshot import Restored, Snapshot
from burnish.platform.data.fingerprint import require_same
from burnish.platform.data.source import Source
from burnish.platform.device.randomness import derived_seed
from burnish.platform.errors import DataError

_ROUNDS = 8

T = TypeVar("T")


def indices_at(seed: int, epoch: int, positions: Int[np.ndarray, " n"], length: int) -> Int[np.ndarray, " n"]:
    """Return the records at `positions` of an epoch's permutation of `range(length)`.

    A balanced Feistel network over the smallest power of four that holds `length`, walked until it lands
    inside (Black and Rogaway, 2002): no memory, no carried state, whatever the length. Raises `DataError`
    when a position is outside of the epoch.
    """
    outside = positions[(positions < 0) | (positions >= length)]
    if outside.size:
        raise DataError(f"position {outside[0]} is outside of an epoch of {length} records")
    half_bits = max(1, ((length - 1).bit_length() + 1) // 2)
    keys = [derived_seed(seed, epoch, round_index) for round_index in range(_ROUNDS)]
    indices = _feistel(positions.astype(np.uint64), half_bits, keys)
    while (walking := indices >= length).any():
        indices[walking] = _feistel(indices[walking], half_bits, keys)
    return indices.astype(np.int64)


class RecordStream(Generic[T]):
    """An endless, shuffled pass over a source; `position` counts the records taken since the start."""

    def __init__(self, source: Source[T], seed: int) -> None:
        """Start at the first record of epoch 0; `DataError` when the source is empty."""
        if len(source) == 0:
            raise DataError("the data source has no records: there is nothing to read")
        self._source = source
        self._seed = seed
        self.position = 0

    @property
    def epoch(self) -> int:
        """The epoch of the next record, from 0."""
        return self.position // len(self._source)

    def indices(self, count: int) -> list[int]:
        """Return the source indices of the next `count` records, without taking them."""
        length = len(self._source)
        positions = np.arange(self.position, self.position + count)
        found: list[int] = []
        for epoch in np.unique(positions // length):
            here = positions[positions // length == epoch] % length
            found += indices_at(self._seed, int(epoch), here, length).tolist()
        return found

    def take(self, count: int) -> list[T]:
        """Return the next `count` records and move past them; epochs follow each other without a gap."""
        records = [self._source[index] for index in self.indices(count)]
        self.position += count
        return records

    def save_state(self) -> Snapshot:
        """Return the position and the fingerprint of the source."""
        return Snapshot(json={"position": self.position, "fingerprint": self._source.fingerprint})

    def load_state(self, restored: Restored) -> None:
        """Continue at a saved position; `DataError` when the source's fingerprint is another."""
        state: Mapping[str, object] = restored.json
        require_same(self._source.fingerprint, str(state["fingerprint"]), "the data source")
        self.position = int(str(state["position"]))


def _feistel(
    values: UInt64[np.ndarray, " n"], half_bits: int, keys: Sequence[int]
) -> UInt64[np.ndarray, " n"]:
    shift, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    left, right = values >> shift, values & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ np.uint64(key)) & mask)
    return (left << shift) | right


def _mix(values: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """Return the splitmix64 finaliser of each value, as `burnish.platform.device.randomness.mix`."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))

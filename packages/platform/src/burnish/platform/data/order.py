"""The order records are read in: a pure function of (seed, epoch, position), so its state is one integer."""

from collections.abc import Mapping
from functools import lru_cache

from burnish.platform.checkpoint.snapshot import Restored, Snapshot
from burnish.platform.data.fingerprint import require_same
from burnish.platform.data.source import DataSource, Record
from burnish.platform.errors import DataError
from burnish.platform.randomness import derived_seed, mix

_ROUNDS = 8


def index_at(seed: int, epoch: int, position: int, length: int) -> int:
    """Return the record at `position` of an epoch's permutation of `range(length)`.

    A balanced Feistel network over the smallest power of four that holds `length`, walked until it lands
    inside (Black and Rogaway, 2002): one record costs microseconds and no memory, whatever the length.
    """
    if not 0 <= position < length:
        raise DataError(f"position {position} is outside of an epoch of {length} records")
    half_bits = max(1, ((length - 1).bit_length() + 1) // 2)
    keys = _round_keys(seed, epoch)
    index = position
    while True:
        index = _feistel(index, half_bits, keys)
        if index < length:
            return index


class RecordStream:
    """An endless, shuffled pass over a source; `position` counts the records taken since the start."""

    def __init__(self, source: DataSource, seed: int) -> None:
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
        return [
            index_at(self._seed, position // length, position % length, length)
            for position in range(self.position, self.position + count)
        ]

    def take(self, count: int) -> list[Record]:
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


@lru_cache(maxsize=64)
def _round_keys(seed: int, epoch: int) -> tuple[int, ...]:
    return tuple(derived_seed(seed, epoch, round_index) for round_index in range(_ROUNDS))


def _feistel(value: int, half_bits: int, keys: tuple[int, ...]) -> int:
    mask = (1 << half_bits) - 1
    left, right = value >> half_bits, value & mask
    for key in keys:
        left, right = right, left ^ (mix(right ^ key) & mask)
    return (left << half_bits) | right

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.platform.checkpoint.snapshot import Restored
from burnish.platform.data.order import RecordStream, indices_at
from burnish.platform.device.randomness import derived_seed, mix
from burnish.platform.errors import DataError

pytestmark = pytest.mark.fast


class _Numbers:
    def __init__(self, length, fingerprint="f"):
        self.length, self.fingerprint = length, fingerprint

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return {"number": index}


def _restored(snapshot):
    return Restored(snapshot.json, lambda *_: None, lambda _: b"")


@given(st.integers(0, 2**63), st.integers(0, 5), st.integers(1, 700))
def test_an_epoch_is_a_permutation(seed, epoch, length):
    indices = indices_at(seed, epoch, np.arange(length), length)
    assert sorted(indices.tolist()) == list(range(length))


@given(st.integers(0, 99), st.integers(1, 300), st.data())
def test_a_record_is_independent_of_the_positions_asked_with_it(seed, length, data):
    position = data.draw(st.integers(0, length - 1))
    (alone,) = indices_at(seed, 2, np.array([position]), length)
    assert alone == indices_at(seed, 2, np.arange(length), length)[position]


def test_orders_of_seeds_and_epochs_differ():
    orders = {tuple(indices_at(seed, epoch, np.arange(50), 50)) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4


def test_order_spreads_each_position_over_the_records():
    counts = np.bincount([indices_at(seed, 0, np.array([3]), 10)[0] for seed in range(2000)], minlength=10)
    assert ((counts - 200) ** 2 / 200).sum() < 27.9  # chi-square, 9 degrees of freedom, p = 0.001


def test_the_round_function_is_the_one_of_plain_integers():
    half_bits, value = 2, 9
    left, right = value >> half_bits, value & 3
    for round_index in range(8):
        left, right = right, left ^ (mix(right ^ derived_seed(7, 1, round_index)) & 3)
    expected = (left << half_bits) | right
    assert indices_at(7, 1, np.array([value]), 16) == [expected]


def test_position_outside_of_the_epoch_is_refused():
    with pytest.raises(DataError, match="position 10"):
        indices_at(0, 0, np.array([10]), 10)


def test_take_over_the_end_of_an_epoch_goes_on_with_the_next():
    stream = RecordStream(_Numbers(5), seed=1)
    taken = [record["number"] for record in stream.take(12)]
    assert sorted(taken[:5]) == sorted(taken[5:10]) == list(range(5))
    assert (stream.epoch, stream.position) == (2, 12)


@given(st.integers(1, 20), st.lists(st.integers(0, 9), max_size=6))
def test_take_is_independent_of_how_it_is_divided(length, counts):
    one, many = RecordStream(_Numbers(length), 3), RecordStream(_Numbers(length), 3)
    assert one.take(sum(counts)) == [record for count in counts for record in many.take(count)]


def test_resume_of_a_stream_equals_the_uninterrupted_one():
    whole, first, second = (RecordStream(_Numbers(7), 3) for _ in range(3))
    expected = whole.take(20)
    taken = first.take(9)
    second.load_state(_restored(first.save_state()))
    assert taken + second.take(11) == expected


def test_a_stream_that_does_not_load_its_state_differs():
    whole, first, second = (RecordStream(_Numbers(7), 3) for _ in range(3))
    assert first.take(9) + second.take(11) != whole.take(20)


def test_load_state_of_other_data_is_refused():
    snapshot = RecordStream(_Numbers(7, "old"), 3).save_state()
    with pytest.raises(DataError, match="has changed since the checkpoint"):
        RecordStream(_Numbers(7, "new"), 3).load_state(_restored(snapshot))


def test_an_empty_source_is_refused():
    with pytest.raises(DataError, match="no records"):
        RecordStream(_Numbers(0), 0)

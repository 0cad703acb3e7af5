from dataclasses import replace

import jax
import numpy as np
import pytest

from burnish.llm.aggregation import BatchTotals
from burnish.llm.batch import make_batch, round_up_rows
from burnish.llm.sequence import make_sample
from burnish.platform.errors import DataError

pytestmark = pytest.mark.fast

AGGREGATIONS = ("token_mean", "sequence_mean", "constant")


def ragged():
    """Two prompts of 2 and 1 tokens with completions of 3 and 1: four trained tokens, two sequences."""
    first = make_sample([10, 11], [1, 2, 3], {"advantages": [0.5, 0.5, 0.5]})
    return [first, make_sample([12], [4], {"advantages": [-1.0]})]


def test_make_sample_when_joined_then_prompt_is_not_trained():
    sample = ragged()[0]
    np.testing.assert_array_equal(sample.tokens, [10, 11, 1, 2, 3])
    np.testing.assert_array_equal(sample.columns["loss_weights"], [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(sample.columns["advantages"], [0, 0, 0.5, 0.5, 0.5])
    assert (sample.prefix_length, len(sample), sample.num_trained_tokens) == (2, 5, 3)


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("token_mean", [[0, 0, 0.25, 0.25, 0.25, 0], [0, 0.25, 0, 0, 0, 0]]),
        ("sequence_mean", [[0, 0, 1 / 6, 1 / 6, 1 / 6, 0], [0, 0.5, 0, 0, 0, 0]]),
        ("constant", [[0, 0, 0.05, 0.05, 0.05, 0], [0, 0.05, 0, 0, 0, 0]]),
    ],
)
def test_weights_when_two_ragged_samples_then_equal_the_hand_computed(aggregation, expected):
    batch = make_batch(
        ragged(),
        num_rows=3,
        length=6,
        pad_token_id=9,
        aggregation=aggregation,
        columns=["advantages"],
        max_length=10,
    )
    np.testing.assert_allclose(batch.weights[:2], np.float32(expected), rtol=1e-7)
    np.testing.assert_array_equal(batch.weights[2], 0)
    np.testing.assert_array_equal(batch.tokens, [[10, 11, 1, 2, 3, 9], [12, 4, 9, 9, 9, 9], [9] * 6])
    np.testing.assert_array_equal(batch.positions[:2], [[0, 1, 2, 3, 4, 0], [0, 1, 0, 0, 0, 0]])
    np.testing.assert_array_equal(batch.segment_ids, [[1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0], [0] * 6])
    np.testing.assert_array_equal(batch.columns["advantages"][0], [0, 0, 0.5, 0.5, 0.5, 0])


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_weights_when_padded_left_then_only_move(aggregation):
    shape = {"num_rows": 2, "length": 7, "pad_token_id": 0, "aggregation": aggregation}
    right = make_batch(ragged(), padding_side="right", **shape)
    left = make_batch(ragged(), padding_side="left", **shape)
    for row, sample in enumerate(ragged()):
        np.testing.assert_array_equal(left.weights[row, -len(sample) :], right.weights[row, : len(sample)])
        np.testing.assert_array_equal(left.positions[row, -len(sample) :], np.arange(len(sample)))
        assert left.weights[row, : -len(sample)].sum() == 0


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_weights_when_batch_is_split_then_totals_keep_them(aggregation):
    samples = ragged()
    shape = {"length": 6, "pad_token_id": 0, "aggregation": aggregation}
    whole = make_batch(samples, num_rows=2, **shape).weights
    totals = BatchTotals.of(samples)
    parts = [make_batch([sample], num_rows=1, totals=totals, **shape).weights for sample in samples]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    normalized_after_the_split = [make_batch([sample], num_rows=1, **shape).weights for sample in samples]
    assert not np.allclose(np.concatenate(normalized_after_the_split), whole)


def test_weights_when_nothing_precedes_a_trained_token_then_it_does_not_count():
    batch = make_batch([make_sample([], [1, 2, 3])], num_rows=1, length=3, pad_token_id=0)
    np.testing.assert_array_equal(batch.weights, [[0, 0.5, 0.5]])


def test_weights_when_a_sample_has_no_trained_token_then_it_is_no_sequence():
    samples = [*ragged(), make_sample([1, 2], [])]
    assert BatchTotals.of(samples) == BatchTotals(tokens=4, sequences=2)
    batch = make_batch(samples, num_rows=3, length=6, pad_token_id=0, aggregation="sequence_mean")
    np.testing.assert_allclose(batch.weights.sum(axis=1), [0.5, 0.5, 0], rtol=1e-6)


def test_make_batch_when_a_sample_is_too_long_then_says_so():
    with pytest.raises(DataError, match="5 tokens does not fit rows of 4"):
        make_batch(ragged(), num_rows=2, length=4, pad_token_id=0)


def test_make_batch_when_there_are_too_many_samples_then_says_so():
    with pytest.raises(DataError, match="2 samples do not fit a batch of 1 rows"):
        make_batch(ragged(), num_rows=1, length=8, pad_token_id=0)


def test_make_batch_when_a_column_is_missing_then_names_it_and_those_there():
    with pytest.raises(DataError, match="'values' is not in the sample, which has advantages, loss_weights"):
        make_batch(ragged(), num_rows=2, length=8, pad_token_id=0, columns=["values"])


def test_token_batch_when_mapped_as_a_tree_then_keeps_its_type():
    batch = make_batch(ragged(), num_rows=2, length=8, pad_token_id=0)
    doubled = jax.tree.map(lambda array: array * 2, batch)
    np.testing.assert_array_equal(doubled.tokens, batch.tokens * 2)
    assert len(jax.tree.leaves(batch)) == 6


def test_round_up_rows_when_not_a_multiple_then_takes_the_next():
    assert [round_up_rows(n, 4) for n in (1, 4, 5)] == [4, 4, 8]


def test_make_batch_when_only_some_samples_were_drawn_then_the_others_have_no_temperature():
    written = make_sample([1], [2])
    drawn = make_sample([1], [2], {"temperature": [0.5]}, is_sampled=True)
    batch = make_batch([written, drawn], num_rows=2, length=3, pad_token_id=0)
    np.testing.assert_array_equal(batch.columns["temperature"], [[0, 0, 0], [0, 0.5, 0]])


def test_make_batch_when_a_prefix_is_shared_then_its_columns_are_the_first_sample_s():
    rows = [make_sample([7], [number], {"loss_weights": [1.0]}) for number in (1, 2)]
    rows = [
        replace(sample, columns={**sample.columns, "mark": np.full(2, mark, np.float32)})
        for mark, sample in enumerate(rows, 1)
    ]
    batch = make_batch([rows], num_rows=1, length=3, pad_token_id=0, columns=["mark"], shares_prefixes=True)
    np.testing.assert_array_equal(batch.columns["mark"], [[1, 1, 2]])
    np.testing.assert_array_equal(batch.sample_ids, [[0, 0, 1]])


@pytest.mark.parametrize("weights", [[-1.0, 2.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_sample_when_a_loss_weight_is_no_finite_number_from_zero_on_then_is_refused(weights):
    with pytest.raises(AssertionError, match="loss weights are"):
        make_sample([1], [2, 3], {"loss_weights": weights})


def test_make_batch_when_rows_have_one_token_then_says_what_is_missing():
    with pytest.raises(DataError, match="rows of 1 tokens cannot hold 1 sequences"):
        make_batch([make_sample([], [1])], num_rows=1, length=1, pad_token_id=0)


def test_make_batch_when_there_is_no_sample_then_is_all_padding():
    batch = make_batch([], num_rows=2, length=3, pad_token_id=9)
    np.testing.assert_array_equal(batch.tokens, np.full((2, 3), 9))
    assert not batch.weights.any()

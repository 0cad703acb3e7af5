import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.minionerec.catalog import read_catalog
from burnish.minionerec.interactions import read_interactions
from burnish.minionerec.metrics import CUTOFFS, hit_rate, ndcg, ranking_metrics, target_ranks

pytestmark = pytest.mark.fast

PREDICTIONS = [["x", "y", "z"], ["y", "x", "x"], ["z", "y", "x"], ["y", "z", "y"]]
TARGETS = ["x", "x", "x", "x"]


def reference_metrics(predictions, targets, cutoff):
    """Loop over rows as upstream's script does."""
    hits, gain = 0, 0.0
    for row, target in zip(predictions, targets, strict=True):
        for rank, name in enumerate(row):
            if name == target:
                hits += rank < cutoff
                gain += 1 / math.log2(rank + 2) if rank < cutoff else 0.0
                break
    return hits / len(targets), gain / len(targets)


def test_ranks_are_those_of_the_first_match():
    np.testing.assert_array_equal(target_ranks(PREDICTIONS, TARGETS), [0, 1, 2, np.inf])


def test_metrics_by_hand():
    ranks = target_ranks(PREDICTIONS, TARGETS)

    assert hit_rate(ranks, 1) == 0.25
    assert hit_rate(ranks, 3) == 0.75
    assert ndcg(ranks, 1) == 0.25
    assert ndcg(ranks, 2) == pytest.approx((1 + 1 / math.log2(3)) / 4, rel=1e-12)
    assert ndcg(ranks, 3) == pytest.approx((1 + 1 / math.log2(3) + 0.5) / 4, rel=1e-12)


rows = st.lists(st.lists(st.sampled_from("uvwxyz"), min_size=5, max_size=5), min_size=1, max_size=8)


@given(rows, st.integers(1, 5))
def test_metrics_equal_the_reference_loop(predictions, cutoff):
    targets = ["x"] * len(predictions)
    ranks = target_ranks(predictions, targets)

    expected = reference_metrics(predictions, targets, cutoff)
    assert (hit_rate(ranks, cutoff), ndcg(ranks, cutoff)) == pytest.approx(expected, rel=1e-12)


def test_reference_loop_tells_a_shifted_rank():
    ranks = target_ranks(PREDICTIONS, TARGETS) + 1

    assert hit_rate(ranks, 3) != reference_metrics(PREDICTIONS, TARGETS, 3)[0]
    assert ndcg(ranks, 3) != pytest.approx(reference_metrics(PREDICTIONS, TARGETS, 3)[1], rel=1e-2)


@given(rows, st.permutations(range(8)))
def test_metrics_do_not_depend_on_row_order(predictions, order):
    shuffled = [predictions[place] for place in order if place < len(predictions)]
    targets = ["x"] * len(predictions)

    expected = ndcg(target_ranks(predictions, targets), 3)
    assert ndcg(target_ranks(shuffled, targets), 3) == pytest.approx(expected, rel=1e-12)


def test_unknown_predictions_are_counted_and_keep_their_rank():
    metrics = ranking_metrics([["nothing", "x"]], ["x"], catalog_ids={"x"}, cutoffs=(1, 2))

    assert metrics["unknown_predictions"] == 1
    assert metrics["hit_rate@1"] == 0
    assert metrics["ndcg@2"] == pytest.approx(1 / math.log2(3), rel=1e-12)


def test_unknown_prediction_that_is_skipped_would_raise_the_hit_rate():
    kept = [name for name in ["nothing", "x"] if name == "x"]

    assert ranking_metrics([kept], ["x"], catalog_ids={"x"}, cutoffs=(1,))["hit_rate@1"] == 1


def test_cutoffs_above_the_beam_are_left_out():
    metrics = ranking_metrics(PREDICTIONS, TARGETS, catalog_ids={"x", "y", "z"})

    assert sorted(metrics) == ["hit_rate@1", "hit_rate@3", "ndcg@1", "ndcg@3", "unknown_predictions"]


@pytest.mark.parametrize("cutoff", [0, -1])
def test_cutoff_below_one_is_refused(cutoff):
    with pytest.raises(ValueError, match="`cutoff` is"):
        hit_rate(np.zeros(2), cutoff)


def test_no_rows_and_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="`ranks` is empty"):
        ndcg(np.zeros(0), 1)
    with pytest.raises(ValueError, match="`predictions` has 1 rows, `targets` has 0"):
        target_ranks([["x"]], [])


def test_recommending_the_most_frequent_target_alone_scores_as_published(amazon_file):
    catalog = read_catalog(
        amazon_file("index/*.index.json"), amazon_file("index/*.item.json"), amazon_file("info/*.txt")
    )
    test = read_interactions(amazon_file("test/*.csv"), catalog)
    targets = [catalog[row.target].semantic_id for row in test]
    fillers = [name for name in catalog.item_ids_by_semantic_id if name not in set(targets)][:49]
    one_right = [["<a_107><b_93><c_0>", *fillers]] * len(test)

    metrics = ranking_metrics(one_right, targets, catalog_ids=catalog.item_ids_by_semantic_id)

    assert [metrics[f"hit_rate@{cutoff}"] for cutoff in CUTOFFS] == pytest.approx([200 / 4533] * 6)
    assert metrics["unknown_predictions"] == 0

import numpy as np
import pytest

from burnish.llm.limits import SKIPPED, SkippedUpdates
from burnish.platform.checkpoint.snapshot import Restored
from burnish.platform.statistics.tracker import StatsTracker
from burnish.rl.limits import MAX_MISMATCH, Limits, mismatch_limit
from burnish.rl.objectives.mismatch import ABSOLUTE

pytestmark = pytest.mark.fast


def update(mismatch=0.0, skipped=0.0):
    return {ABSOLUTE: (mismatch * 50, 50), SKIPPED: (skipped, 1)}


def limits():
    return Limits(max_mismatch=0.01, skipped=SkippedUpdates(limit=3))


def test_mismatched_within_the_limit_is_none():
    assert limits().mismatched(update(0.009)) is None


@pytest.mark.parametrize("mismatch", [0.011, np.nan, np.inf])
def test_mismatched_beyond_the_limit_says_so(mismatch):
    assert "max_mismatch=0.01" in str(limits().mismatched(update(mismatch)))


def test_skipped_too_often_counts_updates_across_rollouts():
    watch = limits()
    assert watch.skipped_too_often([update(skipped=1.0), update(skipped=1.0)]) is None
    assert "3 updates in a row" in str(watch.skipped_too_often([update(skipped=1.0)]))


def test_skipped_too_often_starts_again_after_a_good_update():
    watch = limits()
    for rollout in ([1.0, 1.0], [0.0, 1.0], [1.0]):
        assert watch.skipped_too_often([update(skipped=skipped) for skipped in rollout]) is None


def test_unrewarded_when_everything_failed_names_the_reasons(group):
    stats = StatsTracker()
    stats.scalar("reward/failed/exact_match/KeyError", 2)
    assert "exact_match/KeyError" in str(limits().unrewarded([group(0, [None, None])], stats))
    assert limits().unrewarded([group(0, [None, 0.0])], stats) is None


@pytest.mark.parametrize("dtype", MAX_MISMATCH)
def test_mismatch_limit_when_auto_is_the_dtypes(dtype):
    assert mismatch_limit("auto", dtype) == MAX_MISMATCH[dtype]
    assert mismatch_limit(0.5, dtype) == 0.5


def test_skipped_too_often_counts_on_after_a_restart():
    before, after = SkippedUpdates(limit=3), SkippedUpdates(limit=3)
    for _ in range(2):
        assert before.exceeded(update(skipped=1.0)) is None
    after.load_state(Restored(before.save_state().json, None, None))
    assert "3 updates in a row" in str(after.exceeded(update(skipped=1.0)))

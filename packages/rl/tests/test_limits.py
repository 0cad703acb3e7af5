import pytest

from burnish.llm.batch import make_batch
from burnish.llm.limits import SKIPPED, SkippedUpdates, Update
from burnish.llm.sequence import make_sample
from burnish.platform.checkpoint.snapshot import Restored
from burnish.rl.limits import Limits
from burnish.rl.mismatch_limit import MismatchLimit

pytestmark = pytest.mark.fast

BATCH = make_batch([make_sample([1], [2])], num_rows=1, length=8, pad_token_id=0)


def update(skipped=0.0):
    return Update("step_1_update_1", {SKIPPED: (skipped, 1)}, BATCH)


def limits():
    return Limits(mismatch=MismatchLimit(nats=0.01), skipped=SkippedUpdates(limit=3))


def test_skipped_too_often_counts_updates_across_rollouts():
    watch = limits()
    assert watch.skipped_too_often([update(skipped=1.0), update(skipped=1.0)]) is None
    assert "3 updates in a row" in str(watch.skipped_too_often([update(skipped=1.0)]))


def test_skipped_too_often_starts_again_after_a_good_update():
    watch = limits()
    for rollout in ([1.0, 1.0], [0.0, 1.0], [1.0]):
        assert watch.skipped_too_often([update(skipped=skipped) for skipped in rollout]) is None


def test_skipped_too_often_counts_on_after_a_restart():
    before, after = SkippedUpdates(limit=3), SkippedUpdates(limit=3)
    for _ in range(2):
        assert before.exceeded(update(skipped=1.0)) is None
    after.load_state(Restored(before.save_state().json, None, None))
    assert "3 updates in a row" in str(after.exceeded(update(skipped=1.0)))

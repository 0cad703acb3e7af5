import numpy as np
import pytest

from burnish.rl.limits import SKIPPED, Limits
from burnish.rl.objectives.mismatch import ABSOLUTE


def update(mismatch=0.0, skipped=0.0):
    return {ABSOLUTE: (mismatch * 50, 50), SKIPPED: (skipped, 1)}


def limits(**changes):
    return Limits(**({"max_mismatch": 0.01, "max_skipped_updates": 3} | changes))


def test_exceeded_within_the_limits_is_none():
    assert limits().exceeded([update(0.009), update(0.5)]) is None
    assert limits().exceeded([]) is None


@pytest.mark.parametrize("mismatch", [0.011, np.nan, np.inf])
def test_exceeded_when_the_first_update_mismatches_says_so(mismatch):
    assert "max_mismatch=0.01" in str(limits().exceeded([update(mismatch)]))


def test_exceeded_counts_skipped_updates_across_rollouts():
    watch = limits()
    assert watch.exceeded([update(skipped=1.0), update(skipped=1.0)]) is None
    assert "3 updates in a row" in str(watch.exceeded([update(skipped=1.0)]))


def test_exceeded_starts_again_after_a_good_update():
    watch = limits()
    watch.exceeded([update(skipped=1.0), update(skipped=1.0), update()])
    assert watch.exceeded([update(skipped=1.0), update(skipped=1.0)]) is None

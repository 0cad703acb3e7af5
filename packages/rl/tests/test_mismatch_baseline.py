"""A mismatch that grows after a stage has begun, while it is still below the fixed multiple of rounding."""

import json

import pytest

from burnish.platform.checkpoint.snapshot import Restored
from burnish.platform.device.mesh import build_mesh
from burnish.rl.mismatch_baseline import DRIFT, ROLLOUTS, SLACK, MismatchBaseline, numerics
from burnish.rl.mismatch_limit import FLOAT32_LIMIT, MULTIPLE, MismatchLimit
from burnish.rl.objectives.mismatch import ABSOLUTE

pytestmark = pytest.mark.fast

FLOOR = 0.01
SHARE = 0.2


class Floor:
    """A floor that is set by hand, and how often somebody asked."""

    def __init__(self, **numerics):
        self.nats, self.asked, self.numerics = FLOOR, 0, numerics

    def __call__(self, *_):
        self.asked += 1
        return self.nats


def look(limit, share, floor=FLOOR):
    """Return what the limit says of an update whose mismatch is a share of its floor."""
    limit.floor.nats = floor
    return limit.exceeded({ABSOLUTE: (share * floor * 50, 50)}, None, None)


def begun(share=SHARE, rollouts=ROLLOUTS):
    """Return the limit of a stage whose first rollouts had this share."""
    limit = MismatchLimit.of("auto", "bfloat16", Floor())
    assert [look(limit, share) for _ in range(rollouts)] == [None] * rollouts
    return limit


def test_a_share_that_grows_beyond_twice_the_baseline_is_a_drift():
    assert look(begun(), 0.99 * DRIFT * SHARE) is None
    said = str(look(begun(), 0.6))
    assert "\n" not in said
    for part in ("is 6.00e-03 nats", "at most 0.20 of what rounding does", "now it is 0.60"):
        assert part in said
    for part in ("stale or altered weights, other numerics", "`max_mismatch=<nats per token>`"):
        assert part in said


def test_twin_without_the_baseline_the_same_share_passes():
    assert look(begun(rollouts=ROLLOUTS - 1), 0.6) is None
    assert look(begun(rollouts=0), 0.99 * MULTIPLE) is None


@pytest.mark.parametrize("rollouts", [0, 1, ROLLOUTS - 1, ROLLOUTS])
def test_the_fixed_multiple_holds_from_the_first_update_on(rollouts):
    assert "does not sample from the trained policy" in str(look(begun(rollouts=rollouts), 1.01 * MULTIPLE))


def test_a_share_of_nearly_nothing_may_become_the_slack():
    assert look(begun(share=0.001), 0.99 * SLACK) is None
    assert "drifted" in str(look(begun(share=0.001), 1.01 * SLACK))


def test_a_share_that_is_large_anyway_leaves_the_fixed_multiple():
    limit = begun(share=1.1)
    assert look(limit, 0.99 * MULTIPLE) is None
    said = str(look(limit, 1.01 * MULTIPLE))
    assert "does not sample from the trained policy" in said
    assert "drifted" not in said


def test_one_noisy_rollout_of_the_baseline_is_its_share():
    limit = begun(rollouts=ROLLOUTS - 1)
    assert look(limit, 0.4) is None
    assert look(limit, 0.79) is None
    assert "at most 0.40" in str(look(limit, 0.81))


def test_rounding_that_grows_is_no_drift_and_is_measured_once():
    limit = begun()
    assert limit.floor.asked == ROLLOUTS
    assert [look(limit, SHARE, 5 * FLOOR) for _ in range(20)] == [None] * 20
    assert limit.floor.asked == ROLLOUTS + 1
    assert "drifted" in str(look(limit, 0.6, 5 * FLOOR))


def test_rounding_that_shrinks_faster_than_the_mismatch_is_no_drift():
    limit = begun()
    assert look(limit, 4 * SHARE, FLOOR / 4) is None
    assert limit.floor.asked == ROLLOUTS, "nothing is suspicious"


def test_a_mismatch_below_the_limit_of_float32_is_none_whatever_the_share():
    limit = begun()
    small = FLOAT32_LIMIT / 2
    assert look(limit, 30.0, small / 30.0) is None
    assert begun(share=0.0).nats == pytest.approx(SLACK * FLOOR)


def test_a_model_that_nothing_rounds_has_the_limit_of_float32():
    limit = MismatchLimit.of("auto", "bfloat16", Floor())
    limit.floor.nats = 0.0
    for _ in range(ROLLOUTS + 1):
        assert limit.exceeded({ABSOLUTE: (0.5 * FLOAT32_LIMIT, 1)}, None, None) is None
    assert "above max_mismatch=0.0001" in str(limit.exceeded({ABSOLUTE: (1.0, 1)}, None, None))


def restarted(before, **numerics):
    after = MismatchLimit.of("auto", "bfloat16", Floor(**numerics))
    after.load_state(Restored(before.save_state().json, None, None))
    return after


@pytest.mark.parametrize("rollouts", [3, ROLLOUTS])
def test_a_restart_has_the_baseline_of_before(rollouts):
    before = begun(rollouts=rollouts)
    after = restarted(before)
    assert after.baseline == before.baseline == MismatchBaseline(**before.save_state().json["baseline"])
    shares = [SHARE] * (ROLLOUTS - rollouts) + [0.6]
    assert [look(after, share) for share in shares] == [look(before, share) for share in shares]
    assert after.nats == before.nats


def test_a_restart_with_other_numerics_or_an_older_state_begins_a_baseline():
    older = Restored({"nats": 1.0}, None, None)
    fresh = MismatchLimit.of("auto", "bfloat16", Floor())
    fresh.load_state(older)
    for limit in (restarted(begun(), jax="another"), fresh):
        assert (limit.nats, limit.baseline) == (0.0, MismatchBaseline())


def test_a_fixed_limit_learns_no_baseline():
    for limit in (MismatchLimit.of(0.01, "bfloat16", Floor()), MismatchLimit.of("auto", "float32", Floor())):
        nats = limit.nats
        for _ in range(ROLLOUTS + 1):
            assert limit.exceeded({ABSOLUTE: (0.1 * nats, 1)}, None, None) is None
        assert limit.save_state().json == {"nats": nats}
        assert "drifted" not in str(limit.exceeded({ABSOLUTE: (1.1 * nats, 1)}, None, None))


def test_numerics_name_the_mesh_and_survive_json():
    two = numerics(build_mesh(dp=2))
    assert two["dp"] == 2
    assert json.loads(json.dumps(two)) == two
    assert numerics(build_mesh(dp=2)) != numerics(build_mesh())

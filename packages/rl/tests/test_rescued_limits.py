"""Limits look at a row after its step: what an error in the next step saves has seen that row."""

import pytest

from burnish.llm.batch import make_batch
from burnish.llm.limits import SKIPPED, SkippedUpdates, Update
from burnish.llm.sequence import make_sample
from burnish.platform.checkpoint.manifest import verify
from burnish.platform.statistics.tracker import StatsTracker
from burnish.platform.testing import KeptRows, make_run
from burnish.rl.mismatch_limit import MismatchLimit
from burnish.rl.objectives.mismatch import ABSOLUTE

BATCH = make_batch([make_sample([1], [2])], num_rows=1, length=8, pad_token_id=0)


class Known:
    """A noise floor that is known."""

    def __init__(self):
        self.numerics = {"device": "known"}

    def __call__(self, *_):
        return 0.01


def run_until_it_breaks(run, limits):
    """Commit two rows whose updates are looked at late; the third step breaks."""
    skipped, mismatch = limits
    for step in run.steps(5, skipped=skipped, mismatch=mismatch):
        if step == 2:
            raise ValueError("broken")
        run.stop_if(skipped.exceeded, Update("step_1_update_1", {SKIPPED: (1, 1)}, BATCH))
        run.stop_if(mismatch.exceeded, {ABSOLUTE: (0.005 * 50, 50)}, None, None)
        run.commit(step, StatsTracker())


def limits():
    return SkippedUpdates(limit=9), MismatchLimit.of("auto", "bfloat16", Known())


def test_what_an_error_saves_has_seen_every_committed_row(tmp_path):
    run, (skipped, mismatch) = make_run(tmp_path / "run", "rl", KeptRows()), limits()
    with pytest.raises(ValueError, match="broken"):
        run_until_it_breaks(run, (skipped, mismatch))
    assert run.rescue() == 1
    again, (counted, learned) = make_run(tmp_path / "run", "rl", KeptRows()), limits()
    (saved,) = (run.stage_directory / "checkpoints").iterdir()
    again.resume_from = verify(saved)
    assert next(iter(again.steps(5, skipped=counted, mismatch=learned))) == 2
    assert counted == skipped
    assert learned.baseline == mismatch.baseline
    assert learned.baseline.rollouts == 2

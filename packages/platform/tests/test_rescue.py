"""An error in the middle of a step: what the step before has left is saved, and how to go on is said."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from burnish.platform.runs import participants

LATEST = "checkpoint.resume_from=latest"
RARELY = "checkpoint.save_every_steps=100"


def checkpoints(stage="1-tally"):
    return sorted(path.name for path in Path(f"runs/x/stages/{stage}/checkpoints").glob("*"))


def test_an_error_before_anything_has_changed_loses_no_step(tally, uninterrupted):
    broken = "stages.tally.breaks_at=3"
    chain = [*tally.chain, RARELY]
    status, _, err = tally(*chain, broken)
    assert (status, len(err.splitlines())) == (2, 1)
    assert "the data ends here; saved at step 2 of 'tally'; go on with: train" in err
    assert (tally.status()["phase"], checkpoints()) == ("failed", ["step_2"])
    tally.take_back((broken,))
    status, _, err = tally(*chain, LATEST)
    assert status == 0, err
    assert (tally.rows(), tally.samples()) == uninterrupted


def test_a_step_that_has_changed_something_cannot_be_saved_as_it_was(tally):
    with pytest.raises(ZeroDivisionError):
        tally(*tally.chain, RARELY, "stages.tally.fails_at=3")
    assert checkpoints() == []


def test_an_error_after_a_change_goes_on_from_the_newest_checkpoint(tally, uninterrupted):
    broken = "stages.tally.breaks_late=3"
    status, _, err = tally(*tally.chain, broken)
    assert (status, "saved at step 2 of 'tally'" in err) == (2, True)
    assert checkpoints() == ["step_2"]
    tally.take_back((broken,))
    assert tally(*tally.chain, LATEST)[0] == 0
    assert (tally.rows(), tally.samples()) == uninterrupted


def test_an_error_before_the_first_row_saves_nothing_and_refuses(tally):
    status, _, err = tally(*tally.chain, "stages.tally.breaks_at=0")
    assert (status, "go on with" in err, Path("runs").exists()) == (2, False, False)


def test_twin_without_a_copy_of_then_the_broken_step_counts_twice(tally, monkeypatch):
    monkeypatch.setattr(participants, "copy", SimpleNamespace(deepcopy=lambda state: state))
    broken = "stages.tally.breaks_at=3"
    assert tally(*tally.chain, RARELY, broken)[0] == 2
    tally.take_back((broken,))
    assert tally(*tally.chain, RARELY, LATEST)[0] == 0
    counts = [row["walk/steps"] for row in tally.rows() if row["stage"] == "tally"]
    assert counts == [1, 2, 3, 5, 6]


def test_keep_best_of_a_metric_that_nobody_reports_is_refused_at_the_first_rows(tally):
    one = ("stage=tally", "checkpoint.save_every_steps=2", *tally.chain[3:])
    status, _, err = tally(*one, "checkpoint.keep_best=walk/values")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "checkpoint.keep_best=walk/values: no row has this metric (did you mean 'walk/value'?)" in err
    assert [row["step"] for row in tally.rows()] == [0]
    status, _, err = tally(*one, "checkpoint.keep_best=walk/value", LATEST)
    assert status == 0, err
    assert [row["step"] for row in tally.rows()] == [0, 1, 2, 3, 4]


def test_keep_best_of_what_a_later_stage_may_report_is_not_refused(tally):
    status, _, err = tally(*tally.chain, "checkpoint.keep_best=walk/steps")
    assert status == 0, err
    status, _, err = tally(*tally.chain, "checkpoint.keep_best=walk/none", "run.name=y")
    assert (status, err.endswith("; the stages before 'tally_2' are kept\n")) == (2, True), err
    status, _, err = tally(*tally.chain, "checkpoint.keep_best=walk/steps", "run.name=y", LATEST)
    assert status == 0, err

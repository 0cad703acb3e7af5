"""What a finished stage keeps: its newest checkpoint and the best, and a run that goes on from them."""

import shutil
from pathlib import Path

import pytest

from burnish.platform import atomic

LIMIT = "checkpoint.save_total_limit"


def kept(stage):
    return sorted(path.name for path in Path("runs/x/stages", stage, "checkpoints").iterdir())


def test_a_finished_stage_keeps_its_newest_checkpoint_and_a_running_one_its_limit(tally, uninterrupted):
    assert tally(*tally.chain, "stages.tally_2.steps=6")[0] == 0
    assert (kept("1-tally"), kept("2-tally_2")) == (["step_4"], ["step_6"])
    shutil.rmtree("runs")
    assert tally(*tally.chain, "stages.tally_2.stops_at=3")[0] == 3
    assert (kept("1-tally"), kept("2-tally_2")) == (["step_4"], ["step_2", "step_3"])
    tally.take_back(("stages.tally_2.stops_at=3",))
    status, _, err = tally(*tally.chain, "checkpoint.resume_from=latest")
    assert status == 0, err
    assert (kept("1-tally"), kept("2-tally_2")) == (["step_4"], ["step_3"])
    assert (tally.rows(), tally.samples()) == uninterrupted


def test_a_finished_stage_keeps_the_best_beside_it(tally):
    assert tally(*tally.chain, "checkpoint.keep_best=eval/accuracy")[0] == 0
    assert kept("1-tally") == ["step_2", "step_4"]


def test_a_finished_stage_keeps_all_where_there_is_no_limit(tally):
    assert tally(*tally.chain, f"{LIMIT}=null")[0] == 0
    assert (kept("1-tally"), kept("2-tally_2")) == (["step_2", "step_4"], ["step_2", "step_3"])


def test_a_run_goes_back_to_what_a_finished_stage_keeps(tally, uninterrupted):
    assert tally(*tally.chain)[0] == 0
    words = [word for word in tally.chain if not word.startswith("run.name")]
    status, _, err = tally(*words, "checkpoint.resume_from=runs/x/stages/1-tally/checkpoints/step_4")
    assert status == 0, err
    assert (tally.rows(), tally.samples()) == uninterrupted
    assert (kept("1-tally"), kept("2-tally_2")) == (["step_4"], ["step_3"])


class Died(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("dies_at_file", ["1-tally/checkpoints/step_2", "2-tally_2/checkpoints/step_2"])
def test_a_process_that_dies_before_the_others_are_removed_leaves_it_to_the_next(
    tally, uninterrupted, monkeypatch, dies_at_file
):
    remove = atomic.remove

    def dying(path):
        if str(path).endswith(dies_at_file):
            raise Died
        remove(path)

    monkeypatch.setattr(atomic, "remove", dying)
    with pytest.raises(Died):
        tally(*tally.chain)
    monkeypatch.setattr(atomic, "remove", remove)
    stage = dies_at_file.partition("/")[0]
    assert Path("runs/x/stages", stage, "done.json").is_file()
    assert kept(stage)[0] == "step_2"
    status, _, err = tally(*tally.chain, "checkpoint.resume_from=latest")
    assert status == 0, err
    assert (kept("1-tally"), kept("2-tally_2")) == (["step_4"], ["step_3"])
    assert (tally.rows(), tally.samples()) == uninterrupted

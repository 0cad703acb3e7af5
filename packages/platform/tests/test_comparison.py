"""What a run that goes on may change, and what it writes down of it."""

import json
import shutil
from pathlib import Path

import pytest

LATEST = "checkpoint.resume_from=latest"
RUN = Path("runs/x")


def recorded(name="config.yaml"):
    return (RUN / name).read_text(encoding="utf-8")


@pytest.fixture
def in_first(tally):
    """A run that stopped in the first of its two stages."""
    assert tally(*tally.chain, "stages.tally.stops_at=2")[0] == 3
    tally.take_back(("stages.tally.stops_at=2",))
    return tally


def test_options_of_a_stage_that_has_not_begun_may_change_and_are_written_down(in_first):
    status, _, err = in_first(*in_first.chain, "stages.tally_2.finishes_at=1", LATEST)
    assert status == 0, err
    assert [row["step"] for row in in_first.rows() if row["stage"] == "tally_2"] == [0, 1]
    assert "finishes_at: 1" in recorded()


def test_options_of_a_stage_that_has_begun_may_not(in_first):
    status, _, err = in_first(*in_first.chain, "stages.tally.finishes_at=3", LATEST)
    assert (status, "stages.tally.finishes_at: -1 -> 3" in err) == (2, True)


def test_options_of_a_stage_that_a_named_checkpoint_takes_back_may_change(tally):
    assert tally(*tally.chain)[0] == 0
    named = [word for word in tally.chain if not word.startswith("run.name")]
    back = f"checkpoint.resume_from={RUN}/stages/1-tally/checkpoints/step_4"
    status, _, err = tally(*named, "stages.tally_2.finishes_at=1", back)
    assert status == 0, err
    assert [row["step"] for row in tally.rows() if row["stage"] == "tally_2"] == [0, 1]


def test_another_stage_under_a_name_is_refused_though_it_has_not_begun(in_first, distribution):
    words = [word for word in in_first.chain if "tally_2" not in word]
    other = {"stage": {"walk": "burnish_tally:Tally"}}
    distribution("burnish-walk", other, {"burnish_walk.py": ""})
    status, _, err = in_first(*words, "stage=tally+walk", LATEST)
    assert (status, "stages.walk.use: absent -> walk" in err) == (2, True)


def test_the_compilation_cache_may_move_and_host_memory_be_given_back(in_first):
    changed = ("jax.compilation_cache=elsewhere", "jax.keep_host_memory=false")
    status, _, err = in_first(*in_first.chain, *changed, LATEST)
    assert status == 0, err


def test_a_finished_run_with_more_steps_of_its_last_stage_goes_on_and_says_so(tally):
    longer = [word.replace("tally_2.steps=3", "tally_2.steps=6") for word in tally.chain]
    assert tally(*longer)[0] == 0
    expected = tally.rows(), tally.samples()
    shutil.rmtree(RUN)
    assert tally(*tally.chain)[0] == 0
    status, _, err = tally(*longer, LATEST)
    assert status == 0, err
    assert "stages.tally_2.steps: 3 -> 6: schedules are those of 6 steps from here on" in err
    assert (tally.rows(), tally.samples()) == expected
    assert tally.status()["phase"] == "complete"
    status, _, err = tally(*longer, LATEST)
    assert (status, "nothing to resume" in err) == (0, True)


def test_a_finished_run_with_fewer_steps_or_without_a_checkpoint_does_not_go_on(tally):
    assert tally(*tally.chain)[0] == 0
    shorter = [word.replace("tally_2.steps=3", "tally_2.steps=2") for word in tally.chain]
    status, _, err = tally(*shorter, LATEST)
    assert (status, "stages.tally_2.steps: 3 -> 2" in err) == (2, True)
    shutil.rmtree(RUN / "stages/2-tally_2/checkpoints")
    longer = [word.replace("tally_2.steps=3", "tally_2.steps=6") for word in tally.chain]
    before = tally.rows()
    status, _, err = tally(*longer, LATEST)
    assert (status, "has no checkpoint" in err) == (2, True)
    assert tally.rows() == before


def test_each_start_is_written_down(in_first):
    assert in_first(*in_first.chain, LATEST)[0] == 0
    starts = json.loads(recorded("run.json"))["starts"]
    assert len(starts) == 2
    for start in starts:
        assert start.keys() == {"time", "command", "versions", "mesh", "cpu_threads"}
    assert starts[0]["time"] <= starts[1]["time"]


def test_devices_are_compared_with_those_of_the_last_start_by_their_number(in_first):
    status, _, err = in_first(*in_first.chain, LATEST, "jax.mesh.dp=auto")
    assert (status, "jax.mesh.dp: 1 -> 8" in err) == (0, True), err
    assert json.loads(recorded("run.json"))["starts"][-1]["mesh"] == {"dp": 8, "fsdp": 1, "tp": 1}


def test_devices_that_are_as_many_as_before_are_no_change(in_first):
    status, _, err = in_first(*in_first.chain, LATEST, "jax.mesh.dp=1")
    assert (status, "jax.mesh" in err) == (0, False), err


def test_a_run_without_what_it_began_with_is_refused_and_kept(in_first):
    name = "config.yaml"
    content = recorded(name)
    (RUN / name).unlink()
    before = {path: path.read_bytes() for path in RUN.rglob("*") if path.is_file() and path.name != "lock"}
    status, _, err = in_first(*in_first.chain, LATEST)
    assert (status, f"whose {name} is gone" in err, len(err.splitlines())) == (2, True, 1)
    after = {path: path.read_bytes() for path in RUN.rglob("*") if path.is_file() and path.name != "lock"}
    assert after == before
    (RUN / name).write_text(content, encoding="utf-8")
    status, _, err = in_first(*in_first.chain, LATEST)
    assert status == 0, err


def test_a_checkpoint_under_another_steps_name_is_refused(in_first):
    checkpoints = RUN / "stages/1-tally/checkpoints"
    (checkpoints / "step_2").rename(checkpoints / "step_3")
    status, _, err = in_first(*in_first.chain, LATEST)
    assert (status, "holds the checkpoint of step 2" in err) == (2, True)
    (checkpoints / "step_3").rename(checkpoints / "step_2")
    status, _, err = in_first(*in_first.chain, LATEST)
    assert status == 0, err


def test_a_name_whose_run_has_no_row_is_free_for_another_config(tally):
    status, _, err = tally(*tally.chain, "stages.tally.stops_at=0")
    assert status == 3, err
    for left in ("metrics.jsonl", "samples", "stages"):
        path = RUN / left
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    status, _, err = tally(*tally.chain, "run.seed=3")
    assert status == 0, err


def test_a_directory_that_is_no_run_keeps_what_it_has(tally):
    theirs = RUN / "samples" / "mine.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("kept", encoding="utf-8")
    status, _, err = tally(*tally.chain)
    assert status == 0, err
    assert theirs.read_text(encoding="utf-8") == "kept"

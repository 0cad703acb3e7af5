"""A stage that finishes before its last step: saved, exported, said, and finished for whoever resumes."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.platform.checkpoint.manifest import write_manifest

FINISHING = "stages.tally.finishes_at=3"
SAID = "finished at step 3 of 4: it walked enough"


def test_a_stage_that_finishes_early_is_saved_exported_and_followed_by_the_next(tally, uninterrupted):
    status, out, err = tally(*tally.chain, FINISHING)
    assert status == 0, err
    assert [(row["stage"], row["step"]) for row in tally.rows()] == [
        *(("tally", step) for step in range(4)),
        *(("tally_2", step) for step in range(4)),
    ]
    assert tally.rows()[:4] == uninterrupted[0][:4]
    assert Path("runs/x/stages/1-tally/checkpoints/step_3/manifest.json").is_file()
    assert (tally.status()["phase"], tally.status()["reason"]) == ("complete", f"'tally' {SAID}")
    summary = json.loads(Path("runs/x/summary.json").read_text(encoding="utf-8"))
    assert summary["tally"]["ended_early"] == SAID
    assert "ended_early" not in summary["tally_2"]
    assert f"tally: {SAID}" in err
    assert f"tally {SAID}" in out
    done = json.loads(Path("runs/x/stages/1-tally/done.json").read_text(encoding="utf-8"))
    assert done["next_global_step"] == 4


def test_a_stage_that_finished_is_finished_for_a_later_resume(tally):
    assert tally(*tally.chain, FINISHING)[0] == 0
    whole = tally.rows(), tally.samples()
    shutil.rmtree("runs")
    assert tally(*tally.chain, FINISHING, "stages.tally_2.stops_at=1")[0] == 3
    tally.take_back(("stages.tally_2.stops_at=1",))
    assert tally(*tally.chain, FINISHING, "checkpoint.resume_from=latest")[0] == 0
    assert (tally.rows(), tally.samples()) == whole
    assert tally.status()["reason"] == f"'tally' {SAID}"


@pytest.fixture
def killed_before_export(tally):
    """A run that was killed between a stage's finish and its export; returns what it would have been."""
    assert tally(*tally.chain, FINISHING)[0] == 0
    whole = tally.rows(), tally.samples(), Path("runs/x/summary.json").read_text(encoding="utf-8")
    shutil.rmtree("runs")
    words = [*tally.chain, FINISHING, "stages.tally.is_killed_before_export=1"]
    killed = subprocess.run([Path(sys.executable).parent / "train", *words], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not Path("runs/x/stages/1-tally/done.json").exists()
    tally.take_back(("stages.tally.is_killed_before_export=1",))
    return whole


def test_a_finish_survives_a_kill_before_the_export(tally, killed_before_export):
    status, _, err = tally(*tally.chain, FINISHING, "checkpoint.resume_from=latest")
    assert status == 0, err
    assert f"tally: {SAID}" in err
    assert (
        tally.rows(),
        tally.samples(),
        Path("runs/x/summary.json").read_text("utf-8"),
    ) == killed_before_export


def test_twin_a_checkpoint_that_does_not_know_of_the_finish_goes_on(tally, killed_before_export):
    checkpoint = Path("runs/x/stages/1-tally/checkpoints/step_3")
    state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    del state["participants"]["early_end"]
    (checkpoint / "state.json").write_text(json.dumps(state), encoding="utf-8")
    facts = json.loads((checkpoint / "manifest.json").read_text(encoding="utf-8"))["facts"]
    write_manifest(checkpoint, facts)
    words = [word.replace("finishes_at=3", "finishes_at=-1") for word in (*tally.chain, FINISHING)]
    tally.take_back(("stages.tally.finishes_at=3",))
    assert tally(*words, "checkpoint.resume_from=latest")[0] == 0
    assert tally.rows() != killed_before_export[0]
    assert [row["step"] for row in tally.rows() if row["stage"] == "tally"] == [0, 1, 2, 3, 4]

"""The jobs of a sweep: what they are worth, what becomes of one that fails, and how it is gone on with."""

import errno
import fcntl
import os
import re
import shlex
from pathlib import Path

import pytest

from burnish.platform.errors import RunError
from burnish.platform.runs.lock import RunLock
from burnish.platform.runs.sweeps.records import read_records
from burnish.platform.statistics.rows import read_rows
from burnish.platform.statistics.summary import without_machine
from burnish.platform.testing import named

WORTH = ("run.sweep_metric=eval/accuracy",)


def phases():
    return [(record.job, record.phase) for record in read_records(Path("runs/sweeps/x"))]


@pytest.mark.parametrize(
    ("option", "reason", "status", "again"),
    [
        ("breaks_at", "the data ends here", 2, 2),
        ("fails_at", "ZeroDivisionError: a bug", 1, 1),
        ("stops_at", "stopped at step 2 of 'tally': it walked too far", 3, 0),
    ],
)
def test_a_job_that_fails_loses_no_other_and_is_gone_on_with(tally, option, reason, status, again):
    words = [*tally.sweep, "stages.tally.steps=3", f"stages.tally.{option}=2,-1"]
    ended, out, err = tally(*words, *WORTH)
    assert ended == status
    assert phases() == [(0, "failed"), (1, "complete")]
    rows = tally.table(out)
    assert [row[:2] for row in rows[1:3]] == [["runs/x-1", "-1"], ["runs/x-0", "failed"]]
    assert reason in " ".join(rows[3])
    assert f"job 0 failed: {reason}" in err
    last = err.splitlines()[-1]
    assert last.startswith(
        "train: 1 of 2 jobs failed: 0; the table says why; once that is mended, go on with:"
    )
    ended, _, err = tally(*shlex.split(named(last, "go on with: train (.*)")))
    assert ended == again
    assert "runs/x-1 is complete: nothing to resume" in err


@pytest.mark.parametrize(
    "asked", [("--multirun",), ("--run", "hydra.mode=MULTIRUN"), ("-m", "--config-dir", "--config-dir")]
)
def test_the_command_that_goes_on_is_taken_however_the_sweep_is_asked_for(tally, asked):
    Path("--config-dir").mkdir()
    words = (*tally.sweep[1:], "stages.tally.breaks_at=2,-1", "run.output_dir='a; go b'")
    status, _, err = tally(*asked, *words)
    assert status == 2
    again = shlex.split(named(err.splitlines()[-1], "why; once that is mended, go on with: train (.*)"))
    assert again[0] == "-m"
    assert again[1 : len(asked)] == list(asked[1:])
    assert "run.output_dir='a; go b'" in again
    status, _, err = tally(*again)
    assert status == 2
    assert "a; go b/x-1 is complete: nothing to resume" in err


def test_a_bug_in_a_job_names_the_wheel_it_is_in(tally):
    _, _, err = tally(*tally.sweep, "stages.tally.fails_at=2,-1")
    [note] = [line for line in err.splitlines() if "no part of burnish" in line]
    assert note.startswith("this is code of burnish-tally 1.0, no part of burnish: ")
    assert re.search(r"burnish_tally\.py:\d+, run$", note)


CHECKED = """
from dataclasses import dataclass
from burnish.platform.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Checked:
    depth: int = 0

    def check(self, context):
        if self.depth:
            error = DataError("it is too deep")
            error.add_note("the first that fits is 0")
            raise error

    def build(self, run): ...
"""


def test_what_is_noted_beside_an_error_is_told_of_a_job_too(train, distribution):
    distribution("checked", {"stage": {"checked": "checked:Checked"}}, {"checked.py": CHECKED})
    status, _, err = train("-m", "stage=checked", "stages.checked.depth=0,1")
    said = "train: job 1 (stages.checked.depth=1): it is too deep; the first that fits is 0\n"
    assert (status, err) == (2, said)


def test_what_is_wrong_with_any_job_is_said_before_the_first(tally, tmp_path):
    before = sorted(path.name for path in tmp_path.iterdir())
    wrong = {
        "stages.tally.steps=1,abc": "job 1 (stages.tally.steps=abc): stages.tally.steps: expected a whole",
        "stages.tally.stepps=1,2": "stages.tally.stepps: unknown key (did you mean 'steps'?)",
        "checkpoint.backend=msgpack,mesgpack": "job 1 (checkpoint.backend=mesgpack): unknown checkpoint",
        "jax.mesh.dp=1,2,3": "job 2 (jax.mesh.dp=3): jax.mesh: dp=3",
        "run.seed=0,1,-1": "job 2 (run.seed=-1): run.seed",
        "stages.tally.steps=${nowhere},1": "stages.tally.steps: Interpolation key 'nowhere' not found",
        "stages.tally.steps=1,2,": "'stages.tally.steps=1,2,': ",
        "stage=tally,talli": "job 1 (stage=talli): unknown stage 'talli' (did you mean 'tally'?)",
    }
    for word, said in wrong.items():
        status, out, err = tally(*tally.sweep, word)
        assert (status, out, err.count("\n")) == (2, "", 1), word
        assert said in err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def contents(directory):
    return {path: path.read_bytes() for path in Path(directory).rglob("*") if path.is_file()}


def test_a_run_that_is_there_is_refused_before_the_first_and_gone_on_with(tally):
    assert tally(*tally.sweep, "stages.tally.steps=1,2", *WORTH)[0] == 0
    before = contents("runs")
    status, out, err = tally(*tally.sweep, "stages.tally.steps=5,2")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "run.name='x-0' exists in 'runs'; go on with it by checkpoint.resume_from=latest" in err
    status, out, err = tally(*tally.sweep, "stages.tally.fails_at=-1,3", "checkpoint.resume_from=latest")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "job 1 (stages.tally.fails_at=3): run.name='x-1' began with another config" in err
    assert contents("runs") == before
    status, out, err = tally(
        *tally.sweep, "stages.tally.steps=1,2,3", "checkpoint.resume_from=latest", *WORTH
    )
    assert status == 0
    assert err.count("is complete: nothing to resume") == 2
    assert [row[0] for row in tally.table(out)[1:4]] == ["runs/x-1", "runs/x-0", "runs/x-2"]


def test_a_signal_saves_the_job_at_hand_and_the_sweep_is_gone_on_with(tally):
    words = [*tally.sweep, "stages.tally.steps=2,3,4", *WORTH]
    assert tally(*words, "run.name=y")[0] == 0
    status, out, err = tally(*words, "stages.tally.is_terminated_at=2")
    assert phases() == [(0, "interrupted")]
    assert "1 of 3 jobs" in out
    statuses = [status]
    while statuses[-1]:  # each job ends once, and goes on with the next command
        said = "train: stopped by a signal in job .*; go on with: train (-m stage=tally .*)"
        status, out, err = tally(*shlex.split(named(err.splitlines()[-1], said)))
        statuses.append(status)
    assert statuses == [143, 143, 143, 0]
    for number in range(3):
        interrupted, whole = (read_rows(Path(f"runs/{name}-{number}/metrics.jsonl")) for name in "xy")
        assert [*map(without_machine, interrupted)] == [*map(without_machine, whole)]
    assert [row[:2] for row in tally.table(out)[1:4]] == [
        ["runs/x-0", "0"],
        ["runs/x-1", "-1"],
        ["runs/x-2", "-2"],
    ]


def test_a_dry_run_plans_every_job_and_writes_nothing(tally, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    status, out, err = tally(*tally.sweep, "stages.tally.steps=1,2", "--dry-run")
    assert (status, err) == (0, "")
    lines = [line for line in out.splitlines() if line.startswith("job ")]
    assert lines == [f"job {n}: stages.tally.steps={n + 1} -> runs/x-{n}" for n in (0, 1)]
    status, _, err = tally(*tally.sweep, "stages.tally.steps=1,x", "--dry-run")
    assert status == 2
    assert "job 1 (stages.tally.steps=x)" in err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_sweep_at_work_keeps_another_out(tally):
    Path("runs/sweeps/x").mkdir(parents=True)
    lock = RunLock(Path("runs/sweeps/x").absolute())
    lock.acquire()
    status, out, err = tally(*tally.sweep, "stages.tally.steps=1,2")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "hydra.sweep.dir: another sweep is at work in" in err
    assert "wait for it, or set another run.name or hydra.sweep.dir" in err
    assert tally(*tally.sweep, "stages.tally.steps=1,2", "run.name=y")[0] == 0
    assert tally(*tally.sweep, "stages.tally.steps=1,2", "run.name=z", "hydra.sweep.dir=there")[0] == 0
    lock.release()
    assert tally(*tally.sweep, "stages.tally.steps=1,2")[0] == 0


@pytest.mark.parametrize("theirs", ["jobs/1/weights", "jobs/notes.json", "jobs"])
def test_what_others_keep_where_the_records_belong_is_not_removed(tally, theirs):
    Path(theirs).parent.mkdir(parents=True, exist_ok=True)
    Path(theirs).write_text("weeks of work", encoding="utf-8")
    words = (*tally.sweep, "stages.tally.steps=1,2")
    before = sorted(Path().rglob("*"))
    for more in (("--dry-run",), ()):
        status, out, err = tally(*words, "hydra.sweep.dir=.", *more)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "is of no sweep, and has the place of what one records; set another hydra.sweep.dir" in err
        assert sorted(Path().rglob("*")) == before
    assert tally(*words, "hydra.sweep.dir=there")[0] == 0
    Path("there/jobs/.7.json.writing").write_text("{", encoding="utf-8")
    assert tally(*words, "hydra.sweep.dir=there", "checkpoint.resume_from=latest")[0] == 0


def test_a_file_system_without_locks_is_not_told_as_another_sweep(tally, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    status, out, err = tally(*tally.sweep, "stages.tally.steps=1,2")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "run.output_dir: the file system of " in err
    assert "set run.output_dir to a file system with flock" in err


def test_a_damaged_record_is_named(tally):
    assert tally(*tally.sweep, "stages.tally.steps=1,2")[0] == 0
    record = Path("runs/sweeps/x/jobs/1.json")
    record.write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match=r"1\.json' is damaged.*; delete it and run the sweep again"):
        read_records(Path("runs/sweeps/x"))
    record.unlink()
    assert tally(*tally.sweep, "stages.tally.steps=1,2", "checkpoint.resume_from=latest")[0] == 0
    assert phases() == [(0, "complete"), (1, "complete")]

"""The jobs of a sweep: what they are worth, what becomes of one that fails, and how it is gone on with."""

import json
import shlex
from pathlib import Path

import pytest

from burnish.platform.errors import RunError
from burnish.platform.runs.lock import RunLock
from burnish.platform.runs.sweeps.records import read_records
from burnish.platform.statistics.rows import read_rows
from burnish.platform.statistics.summary import without_machine
from burnish.platform.testing import named

SWEEP = ("-m", "stage=tally", "~sink@logging.sinks.console", "~sink@logging.sinks.tensorboard", "run.name=x")
WORTH = ("run.sweep_metric=eval/accuracy",)


def table_of(out):
    """The rows of the table at the end, each as its cells."""
    lines = out.splitlines()
    return [line.split() for line in lines[lines.index("") + 2 :]]


def phases():
    return [(record.job, record.phase) for record in read_records(Path("runs/sweeps/x"))]


def test_table_has_the_best_job_first(tally):
    status, out, err = tally(*SWEEP, "stages.tally.steps=1,4,2", "run.seed=7", *WORTH)
    assert (status, err) == (0, "")
    assert "3 of 3 jobs, highest eval/accuracy first" in out
    assert table_of(out)[:4] == [
        ["run", "eval/accuracy", "stages.tally.steps"],
        ["runs/x-2", "0", "2"],
        ["runs/x-0", "-1", "1"],
        ["runs/x-1", "-2", "4"],
    ]
    assert table_of(out)[4:] == [["sweep", "directory:", "runs/sweeps/x"]]


@pytest.mark.parametrize("metric", ["walk/value", "tally/walk/value"])
def test_table_has_the_lowest_first_where_less_is_better(tally, metric):
    words = [f"run.sweep_metric={metric}", "run.sweep_direction=minimize", "stages.tally.steps=3,1,2"]
    status, out, _ = tally(*SWEEP, *words)
    assert status == 0
    assert f"lowest {metric} first" in out
    assert [row[0] for row in table_of(out)[1:4]] == ["runs/x-1", "runs/x-2", "runs/x-0"]


def test_table_without_a_metric_is_by_number(tally):
    status, out, _ = tally(*SWEEP, "stages.tally.steps=3,1", "run.seed=0,1")
    assert status == 0
    assert table_of(out)[:5] == [
        ["run", "stages.tally.steps", "run.seed"],
        *([f"runs/x-{job}", *values] for job, values in enumerate(["30", "31", "10", "11"])),
    ]


def test_records_hold_words_and_values(tally):
    assert tally(*SWEEP, "stages.tally.steps=1,2", *WORTH)[0] == 0
    records = read_records(Path("runs/sweeps/x"))
    assert [(record.value, record.run, record.exit_status) for record in records] == [
        (-1.0, "runs/x-0", 0),
        (0.0, "runs/x-1", 0),
    ]
    assert "stages.tally.steps=2" in records[1].words
    assert "~sink@logging.sinks.console" in records[1].words
    recorded = json.loads(Path("runs/x-1/run.json").read_text(encoding="utf-8"))
    assert recorded["overrides"] == records[1].words


def test_a_metric_that_no_stage_has_is_one_line_and_the_runs_stay(tally):
    status, out, err = tally(*SWEEP, "stages.tally.steps=1,2", "run.sweep_metric=eval/accuracyy")
    assert status == 2
    assert "no stage has recorded it (did you mean 'eval/accuracy'?)" in err
    assert err.splitlines()[-1].startswith("train: 2 of 2 jobs failed: 0, 1; the table says why; once")
    assert out.count("no stage has recorded it") == 2
    again = [*SWEEP, "stages.tally.steps=1,2", *WORTH, "checkpoint.resume_from=latest"]
    status, out, err = tally(*again)
    assert status == 0
    assert err.count("is complete: nothing to resume") == 2
    assert [row[1] for row in table_of(out)[1:3]] == ["0", "-1"]


@pytest.mark.parametrize(
    ("option", "reason", "status", "again"),
    [
        ("breaks_at", "the data ends here", 2, 2),
        ("fails_at", "ZeroDivisionError: a bug", 1, 1),
        ("stops_at", "stopped at step 2 of 'tally': it walked too far", 3, 0),
    ],
)
def test_a_job_that_fails_loses_no_other_and_is_gone_on_with(tally, option, reason, status, again):
    words = [*SWEEP, "stages.tally.steps=3", f"stages.tally.{option}=2,-1"]
    ended, out, err = tally(*words, *WORTH)
    assert ended == status
    assert phases() == [(0, "failed"), (1, "complete")]
    rows = table_of(out)
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
        status, out, err = tally(*SWEEP, word)
        assert (status, out, err.count("\n")) == (2, "", 1), word
        assert said in err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def contents(directory):
    return {path: path.read_bytes() for path in Path(directory).rglob("*") if path.is_file()}


def test_a_run_that_is_there_is_refused_before_the_first_and_gone_on_with(tally):
    assert tally(*SWEEP, "stages.tally.steps=1,2", *WORTH)[0] == 0
    before = contents("runs")
    status, out, err = tally(*SWEEP, "stages.tally.steps=5,2")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "run.name='x-0' exists in 'runs'; go on with it by checkpoint.resume_from=latest" in err
    status, out, err = tally(*SWEEP, "stages.tally.fails_at=-1,3", "checkpoint.resume_from=latest")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "job 1 (stages.tally.fails_at=3): run.name='x-1' began with another config" in err
    assert contents("runs") == before
    status, out, err = tally(*SWEEP, "stages.tally.steps=1,2,3", "checkpoint.resume_from=latest", *WORTH)
    assert status == 0
    assert err.count("is complete: nothing to resume") == 2
    assert [row[0] for row in table_of(out)[1:4]] == ["runs/x-1", "runs/x-0", "runs/x-2"]


def test_a_signal_saves_the_job_at_hand_and_the_sweep_is_gone_on_with(tally):
    words = [*SWEEP, "stages.tally.steps=2,3,4", *WORTH]
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
    assert [row[:2] for row in table_of(out)[1:4]] == [
        ["runs/x-0", "0"],
        ["runs/x-1", "-1"],
        ["runs/x-2", "-2"],
    ]


def test_a_dry_run_plans_every_job_and_writes_nothing(tally, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    status, out, err = tally(*SWEEP, "stages.tally.steps=1,2", "--dry-run")
    assert (status, err) == (0, "")
    lines = [line for line in out.splitlines() if line.startswith("job ")]
    assert lines == [f"job {n}: stages.tally.steps={n + 1} -> runs/x-{n}" for n in (0, 1)]
    status, _, err = tally(*SWEEP, "stages.tally.steps=1,x", "--dry-run")
    assert status == 2
    assert "job 1 (stages.tally.steps=x)" in err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_sweep_at_work_keeps_another_out(tally):
    Path("runs/sweeps/x").mkdir(parents=True)
    lock = RunLock(Path("runs/sweeps/x").absolute())
    lock.acquire()
    status, out, err = tally(*SWEEP, "stages.tally.steps=1,2")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "hydra.sweep.dir: another sweep is at work in" in err
    assert "wait for it, or set another run.name or hydra.sweep.dir" in err
    assert tally(*SWEEP, "stages.tally.steps=1,2", "run.name=y")[0] == 0
    assert tally(*SWEEP, "stages.tally.steps=1,2", "run.name=z", "hydra.sweep.dir=there")[0] == 0
    lock.release()
    assert tally(*SWEEP, "stages.tally.steps=1,2")[0] == 0


def test_a_damaged_record_is_named(tally):
    assert tally(*SWEEP, "stages.tally.steps=1,2")[0] == 0
    record = Path("runs/sweeps/x/jobs/1.json")
    record.write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match=r"1\.json' is damaged.*; delete it and run the sweep again"):
        read_records(Path("runs/sweeps/x"))
    record.unlink()
    assert tally(*SWEEP, "stages.tally.steps=1,2", "checkpoint.resume_from=latest")[0] == 0
    assert phases() == [(0, "complete"), (1, "complete")]

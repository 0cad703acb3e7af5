"""What the jobs of a sweep are worth: the table, the records, and what `run.sweep_metric` names."""

import json
from pathlib import Path

import pytest

from burnish.platform.runs.sweeps.records import read_records

WORTH = ("run.sweep_metric=eval/accuracy",)


def test_table_has_the_best_job_first(tally):
    status, out, err = tally(*tally.sweep, "stages.tally.steps=1,4,2", "run.seed=7", *WORTH)
    assert (status, err) == (0, "")
    assert "3 of 3 jobs, highest eval/accuracy first" in out
    assert tally.table(out)[:4] == [
        ["run", "eval/accuracy", "stages.tally.steps"],
        ["runs/x-2", "0", "2"],
        ["runs/x-0", "-1", "1"],
        ["runs/x-1", "-2", "4"],
    ]
    assert tally.table(out)[4:] == [["sweep", "directory:", "runs/sweeps/x"]]


@pytest.mark.parametrize("metric", ["walk/value", "tally/walk/value"])
def test_table_has_the_lowest_first_where_less_is_better(tally, metric):
    words = [f"run.sweep_metric={metric}", "run.sweep_direction=minimize", "stages.tally.steps=3,1,2"]
    status, out, _ = tally(*tally.sweep, *words)
    assert status == 0
    assert f"lowest {metric} first" in out
    assert [row[0] for row in tally.table(out)[1:4]] == ["runs/x-1", "runs/x-2", "runs/x-0"]


def test_table_without_a_metric_is_by_number(tally):
    status, out, _ = tally(*tally.sweep, "stages.tally.steps=3,1", "run.seed=0,1")
    assert status == 0
    assert tally.table(out)[:5] == [
        ["run", "stages.tally.steps", "run.seed"],
        *([f"runs/x-{job}", *values] for job, values in enumerate(["30", "31", "10", "11"])),
    ]


def test_records_hold_words_and_values(tally):
    assert tally(*tally.sweep, "stages.tally.steps=1,2", *WORTH)[0] == 0
    records = read_records(Path("runs/sweeps/x"))
    assert [(record.value, record.run, record.exit_status) for record in records] == [
        (-1.0, "runs/x-0", 0),
        (0.0, "runs/x-1", 0),
    ]
    assert "stages.tally.steps=2" in records[1].words
    assert "~sink@logging.sinks.console" in records[1].words
    recorded = json.loads(Path("runs/x-1/run.json").read_text(encoding="utf-8"))
    assert recorded["overrides"] == records[1].words


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ((), []),
        (("hydra.sweep.dir=deep/../down", "hydra.sweep.subdir='a/${hydra:job.num}/b'"), []),
        (("hydra.output_subdir=.hydra",), ["runs/sweeps/x/0", "runs/sweeps/x/1"]),
        (("hydra.job.chdir=true",), ["runs/sweeps/x/0", "runs/sweeps/x/1"]),
    ],
)
def test_records_and_table_name_what_is_there(tally, more, kept):
    status, out, _ = tally(*tally.sweep, "stages.tally.steps=1,2", *more)
    assert status == 0
    sweep = Path(out.splitlines()[-1].removeprefix("sweep directory: "))
    records = read_records(sweep)
    directories = [str(Path(name).absolute()) for name in kept] or ["", ""]
    assert [record.output_dir for record in records] == directories
    assert [Path(row[0]).is_dir() for row in tally.table(out)[1:3]] == [True, True]
    assert all(Path(record.run, "metrics.jsonl").is_file() for record in records)
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == [*"01"[: len(kept)], "jobs"]


WALKS = """
from burnish.platform.statistics.metric import Metric
NAMES = ("walk/value", "walk/length", "walk/of/<label>", "score/<label>", "score/total")
WALKS = tuple(Metric(name=name) for name in NAMES)
"""


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("walk/valuee", "no metric is called so (did you mean 'walk/value'?); name one that `burnish des"),
        ("tally/walk/lengths", "no metric is called so (did you mean 'tally/walk/length'?); name one"),
        ("score/totals", "no metric is called so (did you mean 'score/total'?); name one"),
        ("initial/walk/of", "no metric is called so (did you mean 'initial/walk/"),
        ("tally/time/step_seconds", "a summary has nothing that depends on the clock or the machine"),
    ],
)
def test_a_metric_that_cannot_be_is_refused_before_the_first(tally, distribution, metric, said):
    distribution("walks", {"metric": {"walks": "walks:WALKS"}}, {"walks.py": WALKS})
    status, out, err = tally(*tally.sweep, "stages.tally.steps=1,2", f"run.sweep_metric={metric}")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"run.sweep_metric={metric}: {said}" in err
    words = ("stages.tally.steps=1,2", f"run.sweep_metric={metric}", "--dry-run")
    assert tally(*tally.sweep, *words) == (status, out, err)
    assert not Path("runs").exists()
    assert tally(*tally.sweep, "stages.tally.steps=1,2", "run.sweep_metric=walk/value")[0] == 0


@pytest.mark.parametrize(
    "metric",
    [
        *("walk/value", "tally/walk/value", "initial/walk/of/mine", "score/mine", "their/own"),
        *("tally/their/own", "tally/score/total", "score/tally"),
    ],
)
def test_a_metric_that_may_be_is_checked_by_the_jobs(tally, distribution, metric):
    distribution("walks", {"metric": {"walks": "walks:WALKS"}}, {"walks.py": WALKS})
    words = (*tally.sweep, "stages.tally.steps=1,2", "--dry-run")
    status, _, err = tally(*words, f"run.sweep_metric={metric}")
    assert (status, err) == (0, "")
    status, _, err = tally(*words, "stage=burnish_tally:Tally", "run.sweep_metric=walk/mine")
    assert (status, err) == (0, "")


def test_a_metric_that_no_stage_has_is_one_line_and_the_runs_stay(tally):
    status, out, err = tally(*tally.sweep, "stages.tally.steps=1,2", "run.sweep_metric=eva/accuracy")
    assert status == 2
    assert "no stage has recorded it (did you mean 'eval/accuracy'?)" in err
    assert err.splitlines()[-1].startswith("train: 2 of 2 jobs failed: 0, 1; the table says why; once")
    assert out.count("no stage has recorded it") == 2
    again = [*tally.sweep, "stages.tally.steps=1,2", *WORTH, "checkpoint.resume_from=latest"]
    status, out, err = tally(*again)
    assert status == 0
    assert err.count("is complete: nothing to resume") == 2
    assert [row[1] for row in tally.table(out)[1:3]] == ["0", "-1"]

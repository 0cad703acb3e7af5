"""What a sweep ends with when not all of its jobs are done: the table, the last line, the exit status."""

import json
import re
import shlex

import pytest

from burnish.platform.testing import named

ENDING = """
import os
from dataclasses import dataclass
from pathlib import Path
from burnish.platform.errors import DataError, Interrupted


@dataclass(frozen=True, kw_only=True)
class Ending:
    leaves: str = "{"
    at: str = "runs/sweeps/x/jobs/9.json"
    says: str = "done"

    def build(self, run):
        return self

    def run(self, artifacts):
        Path(self.at).write_text(self.leaves)
        match self.says:
            case "stop":
                raise Interrupted("stopped by a signal, and saved", 15)
            case "now":
                raise KeyboardInterrupt
            case "wrong":
                raise DataError("the data ends here")
        return artifacts
"""
NO_WORDS = {"job": 9, "words": [1], "run": "", "output_dir": "", "phase": "complete", "exit_status": 0}


@pytest.fixture
def ending(train, distribution):
    """The command with a stage that leaves a file somewhere, and then ends as it is told to."""
    distribution("ending", {"stage": {"ending": "ending:Ending"}}, {"ending.py": ENDING})
    words = ("-m", "stage=ending", "run.name=x", "~sink@logging.sinks.console")
    return lambda *more: train(*words, *more)


@pytest.mark.parametrize("leaves", ["{", json.dumps(NO_WORDS)])
@pytest.mark.parametrize(
    ("says", "status", "said"),
    [
        ("stop", 143, "stopped by a signal, and saved; "),
        ("now", 130, "interrupted at once; nothing was saved beyond the last checkpoints; "),
    ],
)
def test_what_ended_a_sweep_is_told_where_no_table_can_be(ending, leaves, says, status, said):
    words = ("run.seed=0,1", f"stages.ending.says={says}", f"stages.ending.leaves='{leaves}'")
    ended, _, err = ending(*words)
    last = err.splitlines()[-1]
    assert ended == status
    assert last.startswith(f"train: {said}")
    assert "; there is no table of the jobs: " in last


def test_a_sweep_that_is_interrupted_at_once_says_how_to_go_on(ending, train):
    words = ("run.seed=0,1", "stages.ending.at=left")
    status, out, err = ending(*words, "stages.ending.says=done,now")
    assert status == 130
    assert [line.split() for line in out.splitlines()[-6:-1]] == [
        ["run", "state", "run.seed", "stages.ending.says"],
        ["runs/x-0", "complete", "0", "done"],
        ["runs/x-1", "did", "not", "end", "0", "now"],
        ["job", "2", "not", "reached", "1", "done"],
        ["job", "3", "not", "reached", "1", "now"],
    ]
    said = "train: interrupted at once; nothing was saved beyond the last checkpoints; go on with: train (.*)"
    again = shlex.split(named(err.splitlines()[-1], said))
    status, _, err = train(*again)
    assert status == 130
    assert "runs/x-0 is complete: nothing to resume" in err


def test_what_ends_a_sweep_beside_its_jobs_is_told_with_those_that_failed(ending):
    status, _, err = ending("run.seed=0,1", "stages.ending.at=runs/sweeps/x/1", "stages.ending.says=wrong")
    failed, cause = "1 of 1 jobs failed: 0; the table says why", r"FileExistsError: \[Errno 17\] .*/x/1'"
    assert status == 1
    assert re.search(f"^train: {failed}; {cause}; once that is mended, go on with: ", err.splitlines()[-1])


@pytest.mark.parametrize("worth", [(), ("run.sweep_metric=eval/accuracy",)])
def test_the_table_of_an_interrupted_sweep_has_the_state_and_values_of_each_job(tally, worth):
    words = (*tally.sweep, "stages.tally.steps=2,3", "stages.tally.is_terminated_at=-1,1", *worth)
    status, out, _ = tally(*words)
    assert status == 143
    assert "2 of 4 jobs" in out
    assert tally.table(out)[:5] == [
        ["run", "eval/accuracy" if worth else "state", "stages.tally.steps", "stages.tally.is_terminated_at"],
        ["runs/x-0", "0" if worth else "complete", "2", "-1"],
        ["runs/x-1", "interrupted", "2", "1"],
        ["job", "2", "not", "reached", "3", "-1"],
        ["job", "3", "not", "reached", "3", "1"],
    ]

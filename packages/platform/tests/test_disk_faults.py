"""A disk that is full, read-only or failing ends a run with one line, and the run goes on once it is not."""

import errno
import itertools
import json
import os
import shlex
import shutil
from pathlib import Path

import pytest

from burnish.platform.cli import exit_status
from burnish.platform.configuration.composition import compose_config
from burnish.platform.runs import pipeline
from burnish.platform.statistics.rows import read_rows
from burnish.platform.statistics.summary import without_machine
from burnish.platform.testing_disk import WatchedDisk

CHAIN = (
    "stage=tally+tally",
    "stages.tally.steps=3",
    "stages.tally_2.steps=1",
    "checkpoint.save_every_steps=1",
    "checkpoint.save_total_limit=1",
    "~sink@logging.sinks.console",
    "~sink@logging.sinks.tensorboard",
)
RUN = Path("runs/x")
COMMAND = shlex.join(["train", *CHAIN, "run.name=x", "checkpoint.resume_from=latest"])
REASONS = {code: os.strerror(code) for code in (errno.ENOSPC, errno.EROFS, errno.EIO)}


@pytest.fixture
def command(tally, capsys):  # noqa: ARG001 - it installs the stage
    """Return a function that runs the chain as the command does: its status and what it says on stderr."""
    config = compose_config([*CHAIN, "run.name=x", "checkpoint.resume_from=latest"])

    def call():
        capsys.readouterr()
        status = exit_status("train", lambda _: pipeline.execute(config, overrides=CHAIN), [])
        return status, capsys.readouterr().err

    return call


def left_by(run):
    kept = [*run.glob("stages/*/export/*"), *run.glob("stages/*/done.json"), *run.glob("samples/*")]
    names = [path.relative_to(run).as_posix() for path in run.rglob("*")]
    return {
        "rows": [without_machine(row) for row in read_rows(run / "metrics.jsonl")],
        "files": {path.relative_to(run).as_posix(): path.read_bytes() for path in kept},
        "names": sorted(names),
        "phase": phase(run),
    }


def phase(run):
    return json.loads((run / "status.json").read_bytes())["phase"]


def torn(run):
    return [str(path) for path in run.rglob(".*.writing")]


@pytest.mark.parametrize(
    ("code", "is_lasting", "every"),
    [
        (errno.ENOSPC, True, 4),
        (errno.EIO, False, 5),
        (errno.EROFS, True, 9),
        *(pytest.param(code, False, 1, marks=pytest.mark.slow) for code in REASONS),
        *(pytest.param(code, True, 1, marks=pytest.mark.slow) for code in REASONS),
    ],
)
def test_a_disk_that_fails_at_any_operation_is_one_line_and_loses_nothing(
    command, code, is_lasting, every, record_property
):
    disk = WatchedDisk(RUN)
    with disk.only_watching():
        assert command()[0] == 0
    whole, statuses = left_by(RUN), []
    for number in itertools.count(0, every):
        shutil.rmtree("runs")
        with disk.failing_at(number, code, is_lasting=is_lasting):
            status, err = command()
        if number >= len(disk.operations):
            break
        where = disk.operations[number]
        if status == 0:  # it stumbled at what is of no importance, or was asked once more
            left = left_by(RUN)
            assert {**left, "names": whole["names"]} == whole, where
        else:
            _assert_told(status, err, code, where)
        if code == errno.ENOSPC or not is_lasting:
            assert not torn(RUN), where
            _assert_true_status(status, where)
        with disk.only_watching():
            assert command()[0] == 0, where
        if where[1].name == "reserve":  # what could not be removed stays, and serves the next start
            (RUN / "reserve").unlink(missing_ok=True)
        assert left_by(RUN) == whole, where
        statuses.append(status)
    record_property("operations failed", len(statuses))
    assert statuses.count(2) > 0.8 * len(statuses) > 10


def _assert_told(status, err, code, where):
    assert status == 2, (where, err)
    assert err.count("\n") == 1, (where, err)
    assert REASONS[code] in err, (where, err)
    assert "'runs/x" in err, (where, err)
    if "run.output_dir" not in err:
        assert "; intact: " in err, (where, err)
        assert f"go on with: {COMMAND}" in err, (where, err)


def _assert_true_status(status, where):
    if (RUN / "status.json").exists():
        assert phase(RUN) == ("complete" if status == 0 else "stopped"), where

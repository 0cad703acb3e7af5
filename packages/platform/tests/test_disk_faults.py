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
from burnish.platform.testing import left_by
from burnish.platform.testing_disk import WatchedDisk

NAMED = ("run.name=x", "checkpoint.resume_from=latest")
RUN = Path("runs/x")
REASONS = {code: os.strerror(code) for code in (errno.ENOSPC, errno.EROFS, errno.EIO)}


@pytest.fixture
def command(tally, capsys):
    """Return a function that runs the chain as the command does: its status and what it says on stderr."""
    config = compose_config([*tally.saving, *NAMED])

    def call():
        capsys.readouterr()
        status = exit_status("train", lambda _: pipeline.execute(config, overrides=tally.saving), [])
        return status, capsys.readouterr().err

    return call


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
    command, tally, code, is_lasting, every, record_property
):
    told = ["; intact: ", f"go on with: {shlex.join(['train', *tally.saving, *NAMED])}"]
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
            _assert_told(status, err, [REASONS[code], "'runs/x", *told], where)
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


def _assert_told(status, err, told, where):
    assert status == 2, (where, err)
    assert err.count("\n") == 1, (where, err)
    for phrase in told[:2] if "run.output_dir" in err else told:
        assert phrase in err, (where, err)


def _assert_true_status(status, where):
    if (RUN / "status.json").exists():
        assert phase(RUN) == ("complete" if status == 0 else "stopped"), where

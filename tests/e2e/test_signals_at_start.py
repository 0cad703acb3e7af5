"""A command that a signal reaches while it starts: its status, one line, and nothing left behind."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import environment

SWEEP = ("-m", "run.seed=0,1")
MOMENTS = [0.0, 0.1, 0.3, 0.6, 1.0, 1.5]
"""Seconds after the command has taken its signals."""


def _takes(process: "subprocess.Popen[str]", number: int) -> bool:
    """Whether a process has a handler of a signal that Python itself leaves alone."""
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines()
    caught = next(line for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.parametrize("words", [(), SWEEP], ids=["run", "sweep"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_a_command_starts_ends_it_with_one_line(train, tmp_path, words, number, status):
    for moment in MOMENTS:
        with subprocess.Popen(
            train.command([*words, "stage=sft", "stages.sft.steps=400"]),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environment(),
        ) as process:
            while not _takes(process, signal.SIGTERM):
                assert process.poll() is None
                time.sleep(0.002)
            time.sleep(moment)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        assert process.returncode == status, err
        if list(train.output.rglob("lock")):  # on a machine that is this fast it has started
            assert "go on with: train" in err
            return
        assert (out, err) == ("", f"train: interrupted by {number.name}\n")
    assert list(tmp_path.iterdir()) == []

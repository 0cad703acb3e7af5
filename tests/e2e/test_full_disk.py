"""A disk that is really full: one line, a true status, and a run that goes on once there is room."""

import json
import os
import subprocess

import pytest

from burnish.platform.statistics.rows import read_rows
from burnish.platform.statistics.summary import without_machine

SIZES_KIB = (100, 900, 1700, 2300)
"""From no room for a config to none for the later checkpoints of the short run."""


def mount(directory, kib):
    command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def small_disk(tmp_path):
    """Return a function that gives a file system of some KiB another size, below `tmp_path / "disk"`."""
    directory = tmp_path / "disk"
    directory.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    if (mounted := mount(directory, 64)).returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")

    def resize(kib):
        subprocess.run(["mount", "-o", f"remount,size={kib}k", str(directory)], check=True)
        return directory

    yield resize
    subprocess.run(["umount", "-l", str(directory)], check=True)


def kept_of(run):
    rows = [without_machine(row) for row in read_rows(run / "metrics.jsonl")]
    files = [*run.glob("stages/*/export/*"), *run.glob("samples/*")]
    return rows, {path.relative_to(run).as_posix(): path.read_bytes() for path in files}


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["msgpack", "orbax"])
def test_a_run_on_a_disk_that_fills_up_says_so_and_goes_on(make_train, short, small_disk, tmp_path, backend):
    words = [*short, "run.name=x", f"checkpoint.backend={backend}", "checkpoint.resume_from=latest"]
    plain = make_train(tmp_path / "plain")
    assert plain(*words).returncode == 0
    train = make_train(small_disk(64))
    for kib in SIZES_KIB:
        run = small_disk(kib) / "x"
        finished = train(*words)
        assert finished.returncode == 2, finished.stderr
        assert finished.stderr.count("\n") == 1, finished.stderr
        line = finished.stderr
        assert line.startswith("train: ")
        assert "No space left on device; intact: " in line
        assert "checkpoint.resume_from=latest" in line
        assert json.loads((run / "status.json").read_bytes())["phase"] == "stopped"
        assert not list(run.rglob(".*"))
    small_disk(64 << 10)
    assert train(*words).returncode == 0
    assert kept_of(run) == kept_of(tmp_path / "plain" / "x")

"""A run's lock: one process at a time, whoever it has forked and wherever the run lies."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from burnish.platform.errors import RunError
from burnish.platform.runs.lock import RunLock
from burnish.platform.runs.run_directory import RunDirectory

pytestmark = pytest.mark.fast

PARENT = """
import {imports}os, sys, time
from pathlib import Path
{take}
if os.fork() == 0:
    print("locked", flush=True)
time.sleep(60)
"""
OURS = "from burnish.platform.runs.lock import RunLock\nlock = RunLock(Path(sys.argv[1]))\nlock.acquire()"
PLAIN = "file = open(sys.argv[1] + '/lock', 'a')\nfcntl.flock(file, fcntl.LOCK_EX)"


def is_free_after_death_of(take, directory):
    """Let a process lock a directory and fork a child that lives on; kill it and try the lock."""
    script = PARENT.format(imports="fcntl, ", take=take)
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(directory)], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert parent.stdout.readline() == b"locked\n"
        with pytest.raises(RunError, match="is being written by"):
            RunLock(directory).acquire()
        parent.kill()
        parent.wait()
        lock = RunLock(directory)
        try:
            lock.acquire()
        except RunError:
            return False
        lock.release()
        return True
    finally:
        os.killpg(parent.pid, signal.SIGKILL)  # the child
        parent.stdout.close()


def test_a_forked_child_does_not_keep_the_lock_of_its_dead_parent(tmp_path):
    assert is_free_after_death_of(OURS, tmp_path)


def test_twin_a_plain_lock_is_kept_by_a_forked_child(tmp_path):
    assert not is_free_after_death_of(PLAIN, tmp_path)


def test_a_child_that_ends_does_not_take_the_lock_from_its_parent(tmp_path):
    lock = RunLock(tmp_path)
    lock.acquire()
    script = f"import sys\nfrom pathlib import Path\n{OURS}"
    subprocess.run([sys.executable, "-c", "pass"], check=True, close_fds=False)
    refused = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, check=False)
    assert b"is being written by process" in refused.stderr
    lock.release()
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_is_said_to_be_one(tmp_path, monkeypatch, code):
    def unsupported(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.raises(RunError, match=r"run\.output_dir: the file system of .* has no locks .* flock"):
        RunDirectory(tmp_path / "x").acquire()
    monkeypatch.undo()
    (elsewhere := RunDirectory(tmp_path / "y")).acquire()
    elsewhere.release()


def test_a_lock_whose_text_is_damaged_still_holds(tmp_path):
    lock = RunLock(tmp_path)
    lock.acquire()
    (tmp_path / "lock").write_bytes(b"\xff\xfe")
    with pytest.raises(RunError, match="is being written by"):
        RunLock(tmp_path).acquire()
    lock.release()


def test_a_full_disk_still_locks(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    lock = RunLock(tmp_path)
    lock.acquire()
    with pytest.raises(RunError, match="is being written by another process"):
        RunLock(tmp_path).acquire()
    lock.release()

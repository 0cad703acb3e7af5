"""Freed memory that comes again: counted are the page faults of large blocks, in processes of their own."""

import platform
import subprocess
import sys

import pytest

NUM_BLOCKS, PAGES_PER_BLOCK = 20, 4096
FAULTS = f"""
import resource
{{}}
import numpy as np
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones({PAGES_PER_BLOCK} * resource.getpagesize(), np.uint8)
before = faults()
for _ in range({NUM_BLOCKS}):
    np.ones({PAGES_PER_BLOCK} * resource.getpagesize(), np.uint8)
print(faults() - before)
"""
KEEP = "from burnish.platform.device.host_memory import keep_freed_memory; keep_freed_memory()"
ALL = NUM_BLOCKS * PAGES_PER_BLOCK

on_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")


def faults(prepare):
    """Return the page faults of making and freeing the blocks, but for the first."""
    program = FAULTS.format(prepare)
    return int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)


@on_glibc
def test_memory_that_was_freed_is_there():
    assert faults(KEEP) < ALL / 20


@on_glibc
def test_twin_without_it_every_block_is_made_anew():
    # Where the kernel gives huge pages one fault makes many small ones, so this is no share of all.
    assert faults("") > faults(KEEP)


def test_another_c_library_is_left_alone(monkeypatch):
    from burnish.platform.device import host_memory

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(host_memory.ctypes, "CDLL", None)
    host_memory.keep_freed_memory()

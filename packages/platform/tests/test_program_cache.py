"""Entries of jax's compile cache that the disk has damaged, and a cache that takes none."""

import os
import subprocess
import sys

import pytest

PREPARED = "from burnish.platform.device.accelerator import prepare_jax; prepare_jax(compilation_cache={0!r})"
PLAIN = """
import jax
jax.config.update('jax_compilation_cache_dir', {0!r})
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)
"""
COMPUTE = "\nimport jax\nprint(jax.jit(lambda x: x * 2 + 1)(jax.numpy.ones(3)))"


def computed(directory, prepare=PREPARED):
    """Compute with the cache in a directory, in a process of its own; return what it says on stderr."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    finished = subprocess.run(
        [sys.executable, "-c", prepare.format(str(directory)) + COMPUTE],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert finished.stdout == "[3. 3. 3.]\n"
    return finished.stderr


def damage(entries, kind):
    for entry in entries:
        content = entry.read_bytes()
        entry.write_bytes({"torn": content[:100], "empty": b"", "zeros": bytes(len(content))}[kind])


@pytest.fixture
def entries(tmp_path):
    assert computed(tmp_path) == ""
    made = sorted(tmp_path.iterdir())
    assert made
    return made


def test_damaged_entries_are_replaced_with_a_line_each(tmp_path, entries):
    sizes = [entry.stat().st_size for entry in entries]
    for kind in ("torn", "zeros"):
        damage(entries, kind)
        lines = computed(tmp_path).splitlines()
        assert len(lines) == len(entries)
        assert all(
            f"the compilation cache '{tmp_path}' cannot use its entry of 'jit_" in line for line in lines
        )
        assert [entry.stat().st_size for entry in entries] == sizes
    assert computed(tmp_path) == ""


def test_twin_jax_alone_keeps_them(tmp_path, entries):
    damage(entries, "empty")
    for _ in range(2):
        assert "UserWarning" in computed(tmp_path, PLAIN)
        assert not any(entry.stat().st_size for entry in entries)


def test_a_cache_that_cannot_be_made_is_a_line_and_ends_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    said = computed(tmp_path / "file" / "cache")
    assert "cannot use its entry of 'jit_" in said
    assert "Not a directory" in said
    assert said.count("\n") == 1

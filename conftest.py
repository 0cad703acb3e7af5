"""What holds for all tests of the repository."""

import gc
from collections.abc import Generator
from pathlib import Path

import pytest

_MAPS = Path("/proc/self/maps")
_MANY = 20_000
"""Mapped regions that are many: Linux gives a process 65,530, each compiled program takes some, and XLA
aborts the process that has none left."""


@pytest.fixture(scope="module", autouse=True)
def room_for_programs() -> Generator[None]:
    """Forget compiled programs after a module that leaves too many of them."""
    yield
    if _MAPS.is_file() and _MAPS.read_bytes().count(b"\n") > _MANY:
        import jax

        jax.clear_caches()
        gc.collect()

"""Eight virtual CPU devices, a tiny model, data of ragged lengths, and a run in a directory of its own."""

import pytest

from burnish.platform.testing import InMemoryData, KeptRows, make_run, use_virtual_devices
from burnish.sample.testing import small_components

use_virtual_devices()


@pytest.fixture
def records():
    """Return a maker of a source from (prompt, completion) pairs."""
    return lambda *pairs: InMemoryData(tuple({"prompt": p, "completion": c, "answer": c} for p, c in pairs))


@pytest.fixture
def ragged(records):
    """Twelve demonstrations whose prompts and completions have 1 to 12 bytes."""
    return records(*(("ab" * (i % 6) + "?", "#" + "x" * (i % 5)) for i in range(12)))


@pytest.fixture
def run(tmp_path):
    """Return a run whose rows are kept in `run.rows`."""
    sink = KeptRows()
    made = make_run(tmp_path / "run", "sft", sink)
    made.rows = sink.rows
    return made


@pytest.fixture
def shared(ragged):
    """The shared components of a stage, the smallest there are."""
    return small_components(ragged)

"""Memory that does not suffice is one line: where it ran out, how much was asked for, what to lower."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from burnish.platform.runs import pipeline
from burnish.platform.testing import named

LARGE = """
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.errors import JaxRuntimeError

from burnish.platform.configuration.slot_fields import shared
from burnish.platform.statistics.tracker import StatsTracker


@dataclass(frozen=True, kw_only=True)
class Table:
    entries: int = 8

    def build(self):
        return lambda: np.empty(self.entries, np.float64)


@dataclass(frozen=True, kw_only=True)
class Large:
    engine: Any = shared("engine", "table")
    rows: int = 4
    steps: int = 2
    said: str = ""

    def build(self, run, **shared):
        return Running(self, run, shared["engine"])


class Running:
    def __init__(self, config, run, engine):
        self.config, self.run_, self.engine = config, run, engine

    def plan(self):
        return {"entries": self.engine.build()().size}

    def run(self, artifacts):
        for step in self.run_.steps(self.config.steps):
            if step == 1 and self.config.said:
                raise JaxRuntimeError(self.config.said)
            self.engine.build()()
            self.run_.commit(step, StatsTracker())
        return artifacts
"""
QUIET = ("stage=large", "~sink@logging.sinks.console", "~sink@logging.sinks.tensorboard", "run.name=x")
TOO_MANY = "engine.entries=1000000000000000000"
OF_DEVICE = "RESOURCE_EXHAUSTED: Out of memory allocating 56 bytes"


@pytest.fixture
def large(distribution, train):
    components = {"stage": {"large": "burnish_large:Large"}, "engine": {"table": "burnish_large:Table"}}
    distribution("burnish-large", components, {"burnish_large.py": LARGE})
    return lambda *words: train(*QUIET, *words)


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_an_array_that_does_not_fit_is_named_with_the_options_that_made_it(large, flags):
    status, out, err = large(TOO_MANY, "stages.large.rows=5", "stages.large.steps=1000000", *flags)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "stages.large: the memory does not suffice in burnish_large.Table.build.<locals>.<lambda> (" in err
    assert "Unable to allocate 6.94 EiB" in err
    sizes = "engine.entries=1000000000000000000 (default 8), stages.large.rows=5 (default 4)"
    assert f"; lower {sizes}, or take a smaller model" in err
    assert not Path("runs").exists()


def test_what_it_says_to_lower_then_fits(large):
    _, _, err = large(TOO_MANY, "--dry-run")
    option, default = (named(err, pattern) for pattern in (r"lower (\S+)=", r"\(default (\d+)\)"))
    status, _, err = large(f"{option}={default}")
    assert (status, err) == (0, "")


def test_a_device_whose_memory_is_full_is_named_and_rows_are_kept(large):
    status, _, err = large(f"stages.large.said='{OF_DEVICE}'")
    assert (status, err.count("\n")) == (2, 1)
    assert f"in burnish_large.Running.run ({OF_DEVICE}); take a smaller model" in err
    assert len(Path("runs/x/metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 1


def test_another_error_of_a_device_is_a_bug(large):
    with pytest.raises(RuntimeError, match="INTERNAL"):
        large("stages.large.said='INTERNAL: RESOURCE_EXHAUSTED'")


def test_twin_without_the_handler_it_is_a_traceback(large, monkeypatch):
    monkeypatch.setattr(pipeline, "naming_sizes", lambda *_: nullcontext())
    with pytest.raises(MemoryError):
        large(TOO_MANY)

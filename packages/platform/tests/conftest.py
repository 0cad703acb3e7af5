"""Eight virtual CPU devices, a participant that holds a tree as training state does, a toy distribution."""

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from burnish.platform.checkpoint.snapshot import Snapshot
from burnish.platform.statistics.rows import read_rows
from burnish.platform.statistics.summary import without_machine
from burnish.platform.testing import distribution as distribution
from burnish.platform.testing import train as train
from burnish.platform.testing import use_virtual_devices

use_virtual_devices()


class Moments(NamedTuple):
    mean: Any
    count: Any


class Participant:
    """Parameters, an optimizer's named tuple, a counter and a file."""

    def __init__(self, value: float, **extra: Any) -> None:
        self.params = {"layers": {"w": jax.numpy.full((4, 8), value, jax.numpy.float32)}}
        self.optimizer = (Moments(jax.numpy.full((4,), value, jax.numpy.bfloat16), np.int32(3)), ())
        self.json = {"position": value, **extra}

    def save_state(self) -> Snapshot:
        trees = {"params": self.params, "optimizer": self.optimizer}
        return Snapshot(trees=trees, json=self.json, files={"config.json": b"{}"})

    def load_state(self, restored: Any) -> None:
        self.params = restored.tree("params", self.params)
        self.optimizer = restored.tree("optimizer", self.optimizer)
        self.json = restored.json


@pytest.fixture
def participant() -> Callable[..., Participant]:
    return Participant


@pytest.fixture
def opened():
    """Count how often each file is opened for reading below a directory; the interpreter tells."""
    counts, watched = Counter(), []

    def hook(event, arguments):
        if watched and event == "open" and isinstance(arguments[0], str):
            path = Path(os.path.abspath(arguments[0]))
            if path.is_relative_to(watched[0]) and path.is_file():
                counts[path.relative_to(watched[0]).as_posix()] += 1

    def watch(directory):
        watched.append(directory)
        return counts

    sys.addaudithook(hook)
    yield watch
    watched.clear()


TOY = """
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from burnish.platform.configuration.slot_fields import shared, slot, slots

if TYPE_CHECKING:
    from nowhere import Engine


@dataclass(frozen=True, kw_only=True)
class Echo:
    repeat: int = 1
    mode: Literal["quiet", "loud"] = "quiet"
    rate: float = 1.0
    names: tuple[str, ...] = ("a", "b")

    def build(self):
        return self


@dataclass(frozen=True, kw_only=True)
class Slow:
    delay_seconds: float = 0.5
    pattern: str = "^a${b"
    address: str

    def build(self):
        return self


@dataclass(frozen=True, kw_only=True)
class Limits:
    low: int = 0
    high: int = 9

    def __post_init__(self):
        if self.low > self.high:
            raise ValueError(f"low={self.low} must not exceed high={self.high}")


@dataclass(frozen=True, kw_only=True)
class Mean:
    scale: bool = True

    def build(self):
        return self


@dataclass(frozen=True, kw_only=True)
class Toy:
    engine: "Engine" = shared("engine", "echo")
    data: Any = shared("data", "arithmetic")
    advantage: Any = slot("advantage", "toy_mean")
    judge: Any = slot("engine", None)
    rewards: Any = slots("reward", ["length"])
    judges: Any = slots("engine", [])
    limits: Limits = field(default_factory=Limits)
    factors: Mapping[str, float] = field(default_factory=dict)
    steps: int = 3

    def build(self, run, **components):
        return Running(run, components)


@dataclass(frozen=True, kw_only=True)
class Other:
    engine: Any = shared("engine", "slow")
    steps: int = 5

    def build(self, run, **components):
        return Running(run, components)


class Running:
    def __init__(self, run, components):
        self.components = components

    def run(self, artifacts):
        assert "engine" in self.components
        return artifacts

    def plan(self):
        return {"rows": 7}


def length(samples):
    return [len(sample) for sample in samples]
"""


@pytest.fixture
def toy(distribution):
    """Install `burnish-toy`: stages, engines, an advantage, a reward that is a function, presets."""
    distribution(
        "burnish-toy",
        {
            "stage": {"toy": "burnish_toy:Toy", "other": "burnish_toy:Other"},
            "engine": {"echo": "burnish_toy:Echo", "slow": "burnish_toy:Slow"},
            "advantage": {"toy_mean": "burnish_toy:Mean"},
            "reward": {"length": "burnish_toy:length", "size": "burnish_toy:length"},
            "config": {"toy": "burnish_toy.conf"},
        },
        {
            "burnish_toy/__init__.py": TOY,
            "burnish_toy/conf/__init__.py": "",
            "burnish_toy/conf/experiment/short.yaml": (
                "# @package _global_\ndefaults:\n  - override /stage: toy+toy\n  - override /engine: slow\n"
                "engine: {address: here}\nstages: {toy_2: {steps: 1}}\n"
            ),
        },
    )


TALLY = Path(__file__).with_name("tally_stage.py").read_text(encoding="utf-8")
QUIET = ("~sink@logging.sinks.console", "~sink@logging.sinks.tensorboard", "run.name=x")


class Tally:
    """The command where the stage `tally` is installed, and what it left behind; `chain` has two of them."""

    chain = ("stage=tally+tally", "stages.tally_2.steps=3", "checkpoint.save_every_steps=2", *QUIET)
    saving = (
        *("stage=tally+tally", "stages.tally.steps=3", "stages.tally_2.steps=1"),
        *("checkpoint.save_every_steps=1", "checkpoint.save_total_limit=1", "~sink@logging.sinks.console"),
    )
    """A chain that saves after each step and removes what it has saved before."""
    sweep = ("-m", "stage=tally", *QUIET)
    directory = Path("runs/x")

    def __init__(self, train):
        self._train = train

    def __call__(self, *words):
        status, out, err = self._train(*words)
        return status or 0, out, err

    def table(self, out):
        """The rows of the table that ends a sweep, each as its cells."""
        lines = out.splitlines()
        return [line.split() for line in lines[lines.index("") + 2 :]]

    def rows(self):
        return [without_machine(row) for row in read_rows(self.directory / "metrics.jsonl")]

    def samples(self):
        return (self.directory / "samples/walk.jsonl").read_text(encoding="utf-8")

    def status(self):
        return json.loads((self.directory / "status.json").read_text(encoding="utf-8"))

    def take_back(self, words):
        """Write the config of the run as if the option that breaks it had not been given."""
        config = self.directory / "config.yaml"
        name = words[0].split("=")[0].rpartition(".")[2]
        lines = [
            f"{line.split(':')[0]}: -1" if f" {name}:" in line else line
            for line in config.read_text(encoding="utf-8").splitlines()
        ]
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def tally(distribution, train):
    """Install the stage `tally` and return the command, running in an empty directory."""
    distribution("burnish-tally", {"stage": {"tally": "burnish_tally:Tally"}}, {"burnish_tally.py": TALLY})
    return Tally(train)


@pytest.fixture
def uninterrupted(tally):
    """Rows and samples of the chain that nothing interrupts; its directory is removed."""
    status, _, err = tally(*tally.chain)
    assert status == 0, err
    kept = tally.rows(), tally.samples()
    shutil.rmtree("runs")
    return kept

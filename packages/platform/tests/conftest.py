"""Eight virtual CPU devices, a participant that holds a tree as training state does, a toy distribution."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from burnish.platform.checkpoint.snapshot import Snapshot
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


TOY = """
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
    limits: Limits = field(default_factory=Limits)
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

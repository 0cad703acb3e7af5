"""Eight virtual CPU devices, and a participant that holds a tree as training state does."""

import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from burnish.platform.checkpoint.snapshot import Snapshot

jax.config.update("jax_numpy_rank_promotion", "raise")


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

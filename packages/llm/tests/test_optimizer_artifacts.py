"""An optimizer is built from what earlier stages made, as far as it says that it needs it."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import optax
import pytest

from burnish.llm.objective import cross_entropy
from burnish.platform.configuration.artifacts import Artifacts


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """Plain descent at the rate that a stage before has found."""

    needs: ClassVar[frozenset[str]] = frozenset({"rate"})

    def build(self, context):
        return optax.sgd(float((context.artifacts["rate"] / "rate.txt").read_text()))


@pytest.fixture
def found(tmp_path):
    """Return a maker of artifacts with a rate in them, beside others."""

    def make(rate):
        directory = tmp_path / str(rate)
        directory.mkdir()
        (directory / "rate.txt").write_text(str(rate))
        return Artifacts(directories={"rate": directory, "model": Path("elsewhere")})

    return make


def moved(training, batch):
    before = training.weights().tree["embed"]
    training.step(batch, cross_entropy)
    return float(np.linalg.norm(np.asarray(training.weights().tree["embed"] - before)))


def test_optimizer_when_it_needs_an_artifact_then_is_built_from_it(make_training, batch_of, found):
    slow, fast = (make_training(optimizer=Scheduled(), artifacts=found(rate)) for rate in (0.01, 0.02))
    assert moved(fast, batch_of()) == pytest.approx(2 * moved(slow, batch_of()), rel=1e-3)


def test_layout_when_an_artifact_is_not_needed_then_is_that_without_it(make_training, found):
    compiled = [make_training(artifacts=artifacts) for artifacts in (Artifacts(), found(0.01))]
    layouts = {training._layout for training in compiled}
    assert len(layouts) == 1, "stages after one another would compile their steps again"
    assert len({make_training(optimizer=Scheduled(), artifacts=found(r))._layout for r in (0.1, 0.2)}) == 2

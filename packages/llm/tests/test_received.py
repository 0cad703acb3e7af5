"""The model of a stage on its way to an engine and to the next stage."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from burnish.llm.config.export import HuggingFaceExport
from burnish.llm.config.tokenizer import ByteTokenizer
from burnish.llm.received import MODEL, ReceivedModel
from burnish.llm.testing import SMALL_MODEL, params_in, params_of
from burnish.llm.versioned_weights import Weights
from burnish.platform.runs.run_directory import RunDirectory
from burnish.platform.testing import KeptRows, make_run

pytestmark = pytest.mark.fast


class Trained:
    """As much of a training backend as a hand-over reads."""

    def __init__(self, params):
        self._params = params

    def weights(self):
        return Weights(7, self._params)


class Exact(Trained):
    """One that has masters of its parameters."""

    def exported(self):
        return jax.tree.map(lambda leaf: leaf + np.float32(1), self._params)


@pytest.fixture
def received(tmp_path):
    """Return a maker of what a stage receives, in the primary process or in another one."""

    def make(is_primary=True):
        run = make_run(tmp_path / "run", "train", KeptRows())
        run = replace(run, root=RunDirectory(tmp_path / "run", is_primary=is_primary))
        return ReceivedModel(
            run=run, model=SMALL_MODEL, tokenizer=ByteTokenizer(), export=HuggingFaceExport()
        )

    return make


def equal(params, others):
    return jax.tree.all(jax.tree.map(np.array_equal, params, others))


def test_weights_as_they_arrive_can_be_written_for_an_engine_elsewhere(received, tmp_path):
    model = received()
    directory = model.weights().export(tmp_path)
    assert directory == tmp_path / "version_0"
    assert equal(
        params_in(directory, model.bundle.model),
        params_of(model.bundle),
    )


def test_weights_as_they_arrive_are_whole_on_each_device_in_the_compute_dtype(received):
    model = received()
    leaves = jax.tree.leaves(model.weights().tree)
    assert {leaf.dtype.name for leaf in leaves} == {model.run.jax.compute_dtype}
    assert all(leaf.sharding.device_set == set(model.run.mesh.devices.flat) for leaf in leaves)
    assert all(leaf.is_fully_replicated for leaf in leaves)


@pytest.mark.parametrize("is_primary", [True, False])
def test_the_primary_process_alone_writes_what_all_hand_over(received, is_primary):
    model = received(is_primary)
    handed = model.hand_over(Trained(params_of(model.bundle)))[MODEL]
    assert handed == model.run.stage_directory / "export"
    assert handed.is_dir() == is_primary


@pytest.mark.parametrize(("kind", "added"), [(Trained, 0), (Exact, 1)])
def test_what_a_backend_exports_goes_rather_than_its_weights(received, kind, added):
    model = received()
    params = params_of(model.bundle)
    written = params_in(model.hand_over(kind(params))[MODEL], model.bundle.model)
    assert equal(written, jax.tree.map(lambda leaf: leaf + np.float32(added), params))

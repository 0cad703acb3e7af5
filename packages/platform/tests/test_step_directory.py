"""What of a checkpoint lies where, and how often it is read."""

import numpy as np
import pytest

from burnish.platform.checkpoint.config import Msgpack, Orbax
from burnish.platform.checkpoint.manager import CheckpointManager
from burnish.platform.checkpoint.manifest import verify
from burnish.platform.checkpoint.step_directory import read_tree
from burnish.platform.errors import CheckpointError

pytestmark = pytest.mark.fast

LIKE = {"layers": {"w": np.zeros((4, 8), np.float32)}}


@pytest.fixture(params=[Msgpack, Orbax])
def backend(request):
    return request.param()


@pytest.fixture
def saved(tmp_path, participant):
    """Return a manager with a checkpoint of step 2."""

    def save(backend=None, **participants):
        options = {} if backend is None else {"backend": backend}
        manager = CheckpointManager(tmp_path, **options)
        manager.save(2, {"training": participant(2.0), **participants}, {})
        manager.wait()
        return manager

    return save


def test_read_tree_reads_one_tree_of_a_participant(saved, participant, backend):
    step = verify(saved(backend, critic=participant(3.0)).path(2))
    assert (read_tree(step, "params", LIKE)["layers"]["w"] == 2).all()
    assert (read_tree(step, "critic/params", LIKE)["layers"]["w"] == 3).all()


def test_read_tree_of_an_unknown_name_lists_the_trees(saved):
    with pytest.raises(CheckpointError, match="no tree 'weights'; it has optimizer, params"):
        read_tree(verify(saved().path(2)), "weights", {})


def test_a_verified_checkpoint_is_restored_without_hashing_it_again(saved, participant, opened):
    manager = saved()
    counts = opened(manager.path(2))
    checkpoint = manager.verify(2)
    hashed = {"config.json": 1, "state.json": 1, "params/arrays.msgpack": 1, "optimizer/arrays.msgpack": 1}
    assert counts == {"manifest.json": 1, **hashed}
    counts.clear()
    assert manager.restore(checkpoint, {"training": participant(0)}) == 2
    assert counts == {"state.json": 1, "params/arrays.msgpack": 1, "optimizer/arrays.msgpack": 1}
    read_tree(checkpoint, "params", LIKE)
    assert (counts["params/arrays.msgpack"], counts["manifest.json"]) == (2, 0)


def test_twin_verifying_once_more_is_counted(saved, participant, opened):
    manager = saved()
    counts = opened(manager.path(2))
    manager.verify(2)
    manager.restore(manager.verify(2), {"training": participant(0)})
    assert (counts["config.json"], counts["params/arrays.msgpack"]) == (2, 3)


def test_two_participants_may_save_trees_and_files_of_one_name(saved, participant, backend):
    manager = saved(backend, critic=participant(3.0))
    step = manager.path(2)
    shared = {"params", "optimizer", "config.json"}
    assert {path.name for path in step.iterdir()} == {*shared, "critic", "state.json", "manifest.json"}
    assert {path.name for path in (step / "critic").iterdir()} == shared
    first, second = participant(0), participant(0)
    manager.restore(manager.verify(2), {"training": first, "critic": second})
    for restored, value in ((first, 2.0), (second, 3.0)):
        assert (restored.params["layers"]["w"] == value).all()
        assert restored.json == {"position": value}


@pytest.mark.parametrize("name", ["params", "config.json", "state.json", "manifest.json"])
def test_a_participant_called_like_something_at_the_top_is_refused(saved, participant, name):
    with pytest.raises(ValueError, match=f"cannot be called '{name}'"):
        saved(**{name: participant(3.0)})
    saved(critic=participant(3.0))

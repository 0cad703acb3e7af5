"""A batch whose update was not finite lies in the run's directory, and somebody says where."""

import numpy as np
import pytest

from burnish.llm.batch import make_batch
from burnish.llm.limits import SKIPPED, SkippedUpdates, Update
from burnish.llm.sequence import make_sample
from burnish.llm.skipped_batches import MOST, SkippedBatches
from burnish.platform.statistics.kinds import Maximum

pytestmark = pytest.mark.fast

BATCH = make_batch([make_sample([1, 2], [3, 4, 5])], num_rows=2, length=8, pad_token_id=0)


def update(number, skipped=1):
    statistics = {
        SKIPPED: (np.float32(skipped), 1.0),
        "train/loss": (np.float32(np.nan), 1.0),
        "train/peak": Maximum(np.float32(np.inf)),
    }
    return Update(f"step_{number}", statistics, BATCH)


@pytest.fixture
def said():
    return []


@pytest.fixture
def limit(tmp_path, said):
    """Return a limit that keeps batches, and the directory that it keeps them in."""
    directory = tmp_path / "not_finite"
    return SkippedUpdates(limit=99, batches=SkippedBatches(directory=directory, say=said.append)), directory


def test_a_skipped_update_leaves_its_batch_and_its_statistics(limit, said):
    watch, directory = limit
    watch.exceeded(update(3))
    with np.load(directory / "step_3.npz") as file:
        for name in ("tokens", "positions", "segment_ids", "sequences", "sample_ids"):
            np.testing.assert_array_equal(file[name], getattr(BATCH, name))
        np.testing.assert_array_equal(file["columns/weights"], BATCH.weights)
        np.testing.assert_array_equal(file["statistics/train/loss"], [np.nan, 1])
        np.testing.assert_array_equal(file["statistics/train/peak"], [np.inf])
    (line,) = said
    assert line.startswith("the update of step_3 was not finite and changed nothing")
    assert line.endswith(str(directory / "step_3.npz"))


def test_a_finite_update_leaves_nothing(limit, said):
    watch, directory = limit
    watch.exceeded(update(3, skipped=0))
    assert not directory.exists()
    assert not said


def test_only_the_first_ones_are_kept_also_after_a_restart(limit, said):
    watch, directory = limit
    for number in range(MOST + 3):
        watch.exceeded(update(number))
    watch.batches.write("step_1", BATCH, {})
    restarted = SkippedUpdates(limit=99, batches=watch.batches)
    restarted.exceeded(update(77))
    assert sorted(file.name for file in directory.iterdir()) == [f"step_{n}.npz" for n in range(MOST)]
    assert len(said) == MOST + 1


def test_the_reason_to_stop_names_the_directory(tmp_path, said):
    watch = SkippedUpdates(limit=1, batches=SkippedBatches(directory=tmp_path / "x", say=said.append))
    assert watch.exceeded(update(1)).endswith(f"look at the data of these steps in {tmp_path / 'x'}")
    assert SkippedUpdates(limit=1).exceeded(update(1)).endswith("look at the data of these steps")


def test_a_disk_that_does_not_take_a_batch_is_said_and_ends_nothing(tmp_path, said):
    (tmp_path / "file").write_text("in the way")
    watch = SkippedUpdates(limit=9, batches=SkippedBatches(directory=tmp_path / "file", say=said.append))
    assert watch.exceeded(update(1)) is None
    assert "could not be written" in said[0]


def test_a_process_that_is_not_the_primary_one_writes_nothing(tmp_path, said):
    SkippedBatches(directory=tmp_path / "x", say=said.append, is_primary=False).write("step_1", BATCH, {})
    assert not (tmp_path / "x").exists()

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import jax
import numpy as np
import pytest

from burnish.platform.checkpoint.config import Msgpack, Orbax
from burnish.platform.checkpoint.manager import CheckpointManager
from burnish.platform.checkpoint.policy import CheckpointPolicy
from burnish.platform.checkpoint.snapshot import Snapshot
from burnish.platform.errors import CheckpointError


@pytest.fixture(params=[Msgpack, Orbax])
def backend(request):
    return request.param()


def _manager(directory, **options):
    backend = {"backend": options.pop("backend")} if "backend" in options else {}
    return CheckpointManager(directory, CheckpointPolicy(**{"save_total_limit": None, **options}), **backend)


def _save(manager, participant, *steps, **scores):
    for step in steps:
        manager.save(
            step, {"training": participant(step)}, {name: values[step] for name, values in scores.items()}
        )
    manager.wait()


def test_restore_returns_what_was_saved_with_every_backend(tmp_path, participant, backend):
    manager = _manager(tmp_path, backend=backend)
    saved, other = participant(4.0), participant(0.0)
    manager.save(4, {"training": saved}, {"train/loss": 1.5})
    manager.restore(manager.verify(4), {"training": other})
    for one, two in zip(
        jax.tree.leaves([saved.params, saved.optimizer]),
        jax.tree.leaves([other.params, other.optimizer]),
        strict=True,
    ):
        assert np.asarray(one).tobytes() == np.asarray(two).tobytes()
    assert other.json == {"position": 4.0}
    assert (tmp_path / "step_4" / "config.json").read_bytes() == b"{}"


def test_restore_when_the_backend_has_changed_reads_with_the_recorded_one(tmp_path, participant):
    _save(_manager(tmp_path, backend=Orbax()), participant, 1)
    restored = participant(0)
    manager = _manager(tmp_path, backend=Msgpack())
    assert manager.restore(manager.verify(1), {"training": restored}) == 1
    assert restored.json["position"] == 1


def test_restore_for_other_participants_names_both(tmp_path, participant):
    manager = _manager(tmp_path)
    _save(manager, participant, 1)
    with pytest.raises(CheckpointError, match="state of training, but the stage has prompts"):
        manager.restore(manager.verify(1), {"prompts": participant(0)})


def test_is_due_follows_interval_last_and_improvement(tmp_path, participant):
    manager = _manager(tmp_path, save_every_steps=5, keep_best="eval/accuracy")
    assert [step for step in range(12) if manager.is_due(step, 11)] == [5, 10, 11]
    _save(manager, participant, 5, **{"eval/accuracy": {5: 0.5}})
    assert manager.is_due(6, 11, {"eval/accuracy": 0.6})
    assert not manager.is_due(6, 11, {"eval/accuracy": 0.5})
    assert not _manager(tmp_path, save_every_steps=0, save_last=False).is_due(11, 11)


def test_save_over_the_limit_keeps_the_last_and_the_best(tmp_path, participant):
    manager = _manager(tmp_path, save_total_limit=1, keep_best="loss", keep_best_mode="min")
    _save(manager, participant, 1, 2, 3, 4, loss={1: 3.0, 2: 1.0, 3: 2.0, 4: 1.0})
    assert (manager.steps(), manager.best(), manager.latest()) == ([2, 4], 2, 4)


def test_save_without_keep_best_does_not_protect_the_best(tmp_path, participant):
    manager = _manager(tmp_path, save_total_limit=1)
    _save(manager, participant, 1, 2, 3, loss={1: 3.0, 2: 1.0, 3: 2.0})
    assert (manager.steps(), manager.best()) == ([3], None)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"save_total_limit": 3}, [4]),
        ({"save_total_limit": 3, "keep_best": "loss", "keep_best_mode": "min"}, [2, 4]),
        ({"save_total_limit": None}, [1, 2, 3, 4]),
    ],
)
def test_keep_of_finished_leaves_the_newest_and_the_best(tmp_path, participant, options, kept):
    manager = _manager(tmp_path, **options)
    manager.keep_of_finished()
    _save(manager, participant, 1, 2, 3, 4, loss={1: 3.0, 2: 1.0, 3: 2.0, 4: 1.5})
    manager.keep_of_finished()
    assert manager.steps() == kept


def test_save_of_a_step_that_exists_replaces_it(tmp_path, participant):
    manager = _manager(tmp_path)
    _save(manager, participant, 1)
    manager.save(1, {"training": participant(7.0)}, {})
    manager.restore(manager.verify(1), {"training": (restored := participant(0))})
    assert restored.json["position"] == 7.0


def test_save_sweeps_what_a_killed_process_left(tmp_path, participant):
    for leftover in (".step_3.writing", ".step_1.removed"):
        (tmp_path / leftover / "params").mkdir(parents=True)
    manager = _manager(tmp_path)
    assert manager.steps() == []
    _save(manager, participant, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["step_4"]


def test_discard_after_removes_later_steps_only(tmp_path, participant):
    manager = _manager(tmp_path)
    _save(manager, participant, 1, 2, 3)
    manager.discard_after(1)
    assert manager.steps() == [1]


def _flip(directory):
    path = next(
        path for path in sorted((directory / "params").rglob("*")) if path.is_file() and path.stat().st_size
    )
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    return path


def _truncate(directory):
    path = directory / "state.json"
    path.write_bytes(path.read_bytes()[:-5])
    return path


def _tear(directory):
    path = directory / "manifest.json"
    path.unlink()
    return path


@pytest.mark.parametrize("damage", [_flip, _truncate, _tear])
def test_restore_of_a_damaged_checkpoint_names_the_file_and_offers_the_one_before(
    tmp_path, participant, backend, damage
):
    manager = _manager(tmp_path, backend=backend)
    _save(manager, participant, 1, 2, 3)
    (tmp_path / "step_2" / "manifest.json").unlink()
    path = damage(tmp_path / "step_3")
    with pytest.raises(CheckpointError) as caught:
        manager.verify(3)
    message = str(caught.value)
    assert "step 3" in message
    assert path.name in message
    assert f"checkpoint.resume_from={tmp_path / 'step_1'}" in message
    assert "\n" not in message


def test_verify_when_none_before_is_intact_says_so(tmp_path, participant):
    manager = _manager(tmp_path)
    _save(manager, participant, 1)
    _tear(tmp_path / "step_1")
    with pytest.raises(CheckpointError, match="no earlier checkpoint is intact"):
        manager.verify(1)


@dataclass(frozen=True)
class _FullDisk:
    """A third party's backend, whose files do not become complete."""

    def build(self, _):
        return self

    def save(self, path, _):
        path.mkdir()

    def wait(self):
        raise OSError("no space is left")


def test_wait_after_a_failed_save_raises_its_error_once(tmp_path, participant):
    manager = _manager(tmp_path)
    _save(manager, participant, 1)
    manager.save(2, {"training": participant(2)}, {})
    manager.wait()
    broken = _manager(tmp_path, backend=_FullDisk())
    broken.save(3, {"training": participant(3)}, {})
    with pytest.raises(OSError, match="no space is left"):
        broken.wait()
    broken.wait()
    assert broken.latest() == 2


_WRITER = """
import sys
import numpy as np
from pathlib import Path
from burnish.platform.checkpoint.manager import CheckpointManager
from burnish.platform.checkpoint.policy import CheckpointPolicy
from burnish.platform.checkpoint.snapshot import Snapshot
from burnish.platform.checkpoint import config
from burnish.platform.configuration.config import CheckpointConfig
class State:
    def __init__(self, sign):
        self.sign = sign
    def save_state(self):
        weights = np.full((64, 1024), self.sign * self.step, np.float32)
        file = str(self.sign * self.step).encode()
        return Snapshot(trees={"params": {"w": weights}}, json={"step": self.step}, files={"file": file})
manager = CheckpointManager(
    Path(sys.argv[1]), CheckpointPolicy(save_total_limit=3), getattr(config, sys.argv[2])()
)
first, second = State(1), State(-1)
step = manager.latest() or 0
while True:
    first.step = second.step = step = step + 1
    manager.save(step, {"training": first, "critic": second}, {})
    print(step, flush=True)
"""


class _Step:
    def save_state(self):
        return Snapshot(json={"step": self.step})

    def load_state(self, restored):
        self.step = restored.json["step"]
        self.weights = restored.tree("params", {"w": np.zeros((64, 1024), np.float32)})["w"]
        self.file = restored.file("file")


@pytest.mark.parametrize("backend_name", ["Msgpack", "Orbax"])
def test_kill_during_saves_leaves_the_latest_intact(tmp_path, backend_name):
    generator, latest = np.random.default_rng(0), 0
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path), backend_name],
            stdout=subprocess.PIPE,
            env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
        )
        with writer:
            for _ in range(3):
                writer.stdout.readline()
            time.sleep(float(generator.uniform(0, 0.05)))
            writer.send_signal(signal.SIGKILL)
        manager = _manager(tmp_path)
        found = manager.latest()
        assert found is not None
        assert found > latest
        for step in manager.steps():
            first, second = _Step(), _Step()
            manager.restore(manager.verify(step), {"training": first, "critic": second})
            for state, value in ((first, step), (second, -step)):
                assert state.step == step
                assert (state.weights == value).all()
                assert state.file == str(value).encode()
        latest = found

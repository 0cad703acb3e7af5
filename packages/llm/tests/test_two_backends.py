"""Two training backends in one checkpoint: a killed run goes on with both of them."""

import subprocess
import sys
from pathlib import Path

import pytest

from burnish.llm import testing
from burnish.llm.batch import make_batch
from burnish.llm.config.optimizer import AdamW
from burnish.llm.config.training import JaxTraining
from burnish.llm.objective import cross_entropy
from burnish.llm.placement import place_params
from burnish.llm.sequence import make_sample
from burnish.llm.training import TrainingContext
from burnish.platform.checkpoint.config import Msgpack, Orbax
from burnish.platform.checkpoint.manager import CheckpointManager
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.device.mesh import build_mesh

BACKENDS = {"Msgpack": Msgpack, "Orbax": Orbax}
STEPS = 6


def pair():
    """A policy, and a critic in which the embedding is frozen."""
    model = testing.tiny_qwen2(vocab_size=61)
    context = TrainingContext(
        model=model,
        load=lambda like: place_params(testing.scaled_params(model), like),
        optimizer=AdamW(learning_rate=1e-2),
        total_steps=STEPS,
        mesh=build_mesh(),
        jax=JaxConfig(),
    )
    return {
        "training": JaxTraining().build(context),
        "critic": JaxTraining(frozen=("embed",)).build(context),
    }


def train(backends, steps):
    for step in steps:
        batch = make_batch([make_sample([1, step], [3, 4, 5])], num_rows=1, length=8, pad_token_id=60)
        backends["training"].step(batch, cross_entropy)
        backends["critic"].step(batch, cross_entropy, hyper={"learning_rate": 2e-2})


def manager(directory, name):
    return CheckpointManager(Path(directory), backend=BACKENDS[name]())


def train_and_save(directory, name):
    """Save every step and say so, until somebody kills this process."""
    backends, saving = pair(), manager(directory, name)
    for step in range(STEPS):
        train(backends, (step,))
        saving.save(step, backends, {})
        saving.wait()
        print(step, flush=True)
    sys.stdin.read()


@pytest.mark.parametrize("name", BACKENDS)
def test_two_backends_when_killed_then_both_continue_bit_for_bit(tmp_path, assert_bit_equal, name):
    command = [sys.executable, __file__, str(tmp_path), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        assert [process.stdout.readline() for _ in range(3)] == ["0\n", "1\n", "2\n"]
        process.kill()
    saved = manager(tmp_path, name)
    latest = saved.latest()
    assert (tmp_path / f"step_{latest}" / "critic" / "params").is_dir()
    uninterrupted, resumed = pair(), pair()
    train(uninterrupted, range(STEPS))
    saved.restore(saved.verify(latest), resumed)
    train(resumed, range(latest + 1, STEPS))
    for part, backend in uninterrupted.items():
        assert resumed[part].weight_version == backend.weight_version == STEPS
        assert_bit_equal(resumed[part].save_state().trees, backend.save_state().trees)
    with pytest.raises(AssertionError):
        assert_bit_equal(resumed["critic"].weights().tree, uninterrupted["training"].weights().tree)


if __name__ == "__main__":
    train_and_save(*sys.argv[1:])

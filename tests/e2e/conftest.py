"""Runs the installed `train` command as a user would, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

SHORT = [
    "data.num_problems=2000",
    "data.num_demonstrations=64",
    "data.num_prompts=32",
    "evaluation.num_problems=16",
    "engine.slots=16",
    "stages.sft.steps=12",
    "stages.sft.rows_per_step=8",
    "stages.rl.steps=6",
    "stages.rl.prompts_per_step=4",
    "stages.rl.samples_per_prompt=4",
    "stages.rl.updates_per_rollout=2",
    "stages.rl.optimizer.schedule=constant",
    "checkpoint.save_every_steps=2",
    "logging.print_every_steps=1",
    "~sink@logging.sinks.tensorboard",
]
"""A recipe with every part of the default one, over in seconds; it learns nothing."""


class Train:
    """The command with an output directory and a cache of compiled programs of its own."""

    def __init__(self, output: Path, cache: Path) -> None:
        self.output = output
        self.fixed = [f"run.output_dir={output}", f"jax.compilation_cache={cache}"]

    def command(self, overrides: Sequence[str]) -> list[str]:
        return [str(Path(sys.executable).parent / "train"), *overrides, *self.fixed]

    def start(self, *overrides: str) -> "subprocess.Popen[bytes]":
        """Start the command in a process group of its own; what it prints is in `printed`."""
        self.output.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            return subprocess.Popen(
                self.command(overrides), stdout=log, stderr=log, start_new_session=True, env=environment()
            )

    @property
    def _log(self) -> Path:
        return self.output / "printed.txt"

    def printed(self) -> str:
        """What the command started last has printed so far."""
        return self._log.read_text()

    def __call__(self, *overrides: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(overrides),
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
            timeout=600,
        )


def environment() -> dict[str, str]:
    """One CPU device, whatever the tests around use."""
    return {
        key: value for key, value in os.environ.items() if key not in ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS")
    }


@pytest.fixture(scope="session")
def compilation_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="session")
def make_train(compilation_cache: Path) -> Callable[[Path], Train]:
    return lambda output: Train(output, compilation_cache)


@pytest.fixture
def train(make_train: Callable[[Path], Train], tmp_path: Path) -> Train:
    return make_train(tmp_path / "runs")


@pytest.fixture(scope="session")
def short() -> list[str]:
    return list(SHORT)

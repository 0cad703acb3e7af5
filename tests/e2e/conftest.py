"""Runs the installed `train` command as a user would, in a process of its own."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from burnish.platform.testing import call_train
from burnish.platform.testing import distribution as distribution

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
    "logging.print_every_seconds=0",
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


@pytest.fixture(scope="session", autouse=True)
def signals_as_in_a_terminal() -> None:
    """What the tests start does not ignore Ctrl-C, though a shell's background job does."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def compilation_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all processes that the tests run in."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"


@pytest.fixture(scope="session")
def make_train(compilation_cache: Path) -> Callable[[Path], Train]:
    return lambda output: Train(output, compilation_cache)


@pytest.fixture
def train(make_train: Callable[[Path], Train], tmp_path: Path) -> Train:
    return make_train(tmp_path / "runs")


@pytest.fixture(scope="session")
def short() -> list[str]:
    return list(SHORT)


ONE_STAGE = [
    "stage=sft",
    "run.name=x",
    "data.num_problems=2000",
    "data.num_demonstrations=64",
    "evaluation.num_problems=4",
    "engine.slots=4",
    "stages.sft.steps=400",
    "stages.sft.rows_per_step=4",
    "checkpoint.save_every_steps=2",
    "~sink@logging.sinks.tensorboard",
    "~sink@logging.sinks.console",
]
"""One stage that would take minutes, for whoever stops it or never lets it begin."""


def _tree_of(directory: Path) -> dict[str, str]:
    """Every file below with its digest; directories with a dash; a lock's content is whoever came last."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "-"
        for path in directory.rglob("*")
        if path.name != "lock"
    }


def _only_line(status: int, out: str, err: str) -> str:
    """The line that a refused command says, and nothing else."""
    assert status == 2, err
    assert out == ""
    assert err.startswith("train: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    return err


@pytest.fixture(scope="session")
def one_stage() -> list[str]:
    return list(ONE_STAGE)


@pytest.fixture(scope="session")
def tree_of() -> Callable[[Path], dict[str, str]]:
    return _tree_of


@pytest.fixture(scope="session")
def only_line() -> Callable[[int, str, str], str]:
    return _only_line


@pytest.fixture
def command(make_train, tmp_path, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Run `train` in this process and in an empty directory: (status, stdout, stderr)."""
    fixed = make_train(tmp_path / "runs").fixed
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        given = {word.partition("=")[0] for word in words}
        own = [word for word in fixed if word.partition("=")[0] not in given]
        return call_train([*words, *own], monkeypatch, capsys)

    return call


@pytest.fixture
def refused(command, tmp_path) -> Callable[..., str]:
    """Run `train`, see that it refuses and leaves everything as it was, and return what it says."""

    def call(*words: str) -> str:
        before = _tree_of(tmp_path)
        line = _only_line(*command(*words))
        assert _tree_of(tmp_path) == before
        return line

    return call

import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import pytest

from burnish.llm.config.export import HuggingFaceExport
from burnish.llm.config.model import Tiny
from burnish.llm.config.tokenizer import AutoTokenizer
from burnish.llm.sequence import Sample, make_sample
from burnish.platform.checkpoint.manager import CheckpointManager
from burnish.platform.configuration.config import CheckpointConfig, JaxConfig
from burnish.platform.runs.run_directory import RunDirectory
from burnish.platform.runs.stage_run import StageRun
from burnish.platform.statistics.logger import StatsLogger
from burnish.rl.groups import Group
from burnish.sample.config.engine import InProcess
from burnish.sample.config.evaluation import GreedyEvaluation

jax.config.update("jax_numpy_rank_promotion", "raise")

MODEL = Tiny(
    hidden_size=32,
    num_heads=2,
    num_kv_heads=1,
    intermediate_size=48,
    scan_unroll=1,
    initializer_range=0.3,
)
"""Large enough weights for the next token to be anything but uniform."""


def _group(number: int, rewards: Sequence[float | None]) -> Group:
    """A group whose sample i has a prompt of 2 tokens, a completion of i + 1, and the i-th reward."""
    return Group(number, tuple(_sample(i, reward) for i, reward in enumerate(rewards)))


def _sample(i: int, reward: float | None) -> Sample:
    columns = {"behavior_logprobs": [-0.5] * (i + 1)}
    status = "failed" if reward is None else "stop"
    return make_sample([7, 8], list(range(i + 1)), columns, is_sampled=True, reward=reward, status=status)


@pytest.fixture
def group() -> Callable[[int, Sequence[float | None]], Group]:
    return _group


@dataclass(frozen=True)
class Records:
    """Records in memory, as a source and as a data component with every split."""

    rows: tuple[dict[str, str], ...]
    fingerprint: str = "rows"

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index, /):
        return self.rows[index]

    def splits(self):
        return ("prompts", "test")

    def build(self, context):
        assert context.split in self.splits()
        return self


class Collected:
    """A sink that keeps its rows."""

    def __init__(self):
        self.rows = []

    def commit(self, row, stats):
        self.rows.append({"step": row.step, **stats})

    def close(self):
        pass


@pytest.fixture
def records():
    """Return a maker of a source of prompts."""
    return lambda *prompts: Records(tuple({"prompt": prompt, "answer": "x"} for prompt in prompts))


@pytest.fixture
def run(tmp_path):
    """Return a run whose rows are kept in `run.rows`."""
    sink = Collected()
    made = StageRun(
        root=RunDirectory(tmp_path / "run"),
        index=1,
        name="rl",
        seed=0,
        jax=JaxConfig(),
        logger=StatsLogger({"kept": sink}),
        manager=CheckpointManager(tmp_path / "run/stages/1-rl/checkpoints", CheckpointConfig()),
    )
    made.rows = sink.rows
    return made


@pytest.fixture
def shared(records):
    """The shared components of a stage, the smallest there are, over prompts of 1 to 11 bytes."""
    return {
        "model": MODEL,
        "tokenizer": AutoTokenizer(),
        "data": records(*("ab" * (i % 6) + "?" for i in range(12))),
        "engine": InProcess(slots=8, decode_steps=4, prefill_rows=4, prefill_tokens=4),
        "evaluation": GreedyEvaluation(num_problems=6, every_steps=2, max_new_tokens=4),
        "export": HuggingFaceExport(),
    }

"""Eight virtual CPU devices, a tiny model, data of ragged lengths, and a run in a directory of its own."""

import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")

from dataclasses import dataclass

import jax
import pytest

from burnish.llm.config.export import HuggingFaceExport
from burnish.llm.config.model import Tiny
from burnish.llm.config.tokenizer import AutoTokenizer
from burnish.platform.checkpoint.manager import CheckpointManager
from burnish.platform.configuration.config import CheckpointConfig, JaxConfig
from burnish.platform.runs.run_directory import RunDirectory
from burnish.platform.runs.stage_run import StageRun
from burnish.platform.statistics.logger import StatsLogger
from burnish.sample.config.engine import InProcess
from burnish.sample.config.evaluation import GreedyEvaluation

jax.config.update("jax_numpy_rank_promotion", "raise")

MODEL = Tiny(hidden_size=32, num_heads=2, num_kv_heads=1, intermediate_size=48, scan_unroll=1)


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
        return ("demonstrations", "test")

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
    """Return a maker of a source from (prompt, completion) pairs."""
    return lambda *pairs: Records(tuple({"prompt": p, "completion": c, "answer": c} for p, c in pairs))


@pytest.fixture
def ragged(records):
    """Twelve demonstrations whose prompts and completions have 1 to 12 bytes."""
    return records(*(("ab" * (i % 6) + "?", "#" + "x" * (i % 5)) for i in range(12)))


@pytest.fixture
def run(tmp_path):
    """Return a run whose rows are kept in `run.rows`."""
    sink = Collected()
    made = StageRun(
        root=RunDirectory(tmp_path / "run"),
        index=1,
        name="sft",
        seed=0,
        jax=JaxConfig(),
        logger=StatsLogger({"kept": sink}),
        manager=CheckpointManager(tmp_path / "run/stages/1-sft/checkpoints", CheckpointConfig()),
    )
    made.rows = sink.rows
    return made


@pytest.fixture
def shared(ragged):
    """The shared components of a stage, the smallest there are."""
    return {
        "model": MODEL,
        "tokenizer": AutoTokenizer(),
        "data": ragged,
        "engine": InProcess(slots=4, decode_steps=4, prefill_rows=4, prefill_tokens=4),
        "evaluation": GreedyEvaluation(num_problems=6, every_steps=2, max_new_tokens=4),
        "export": HuggingFaceExport(),
    }

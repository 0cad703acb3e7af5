"""A part that somebody else wrote keeps its state: killed and resumed, it decides as if never killed."""

import os
import signal
from pathlib import Path

import pytest

from burnish.platform.statistics.rows import read_rows
from burnish.platform.statistics.summary import without_machine

MODULE = '''
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from burnish.platform.checkpoint.snapshot import Snapshot
from burnish.sample.rewards.protocol import RewardResult


@dataclass(frozen=True, kw_only=True)
class EveryThird:
    """Leave out every third group of the run; kill the first process at the fifteenth."""

    is_forgetful: bool = False

    def build(self, *_, **__):
        return Forgetful() if self.is_forgetful else Counting()


class Forgetful:
    def __init__(self):
        self.num_groups = 0

    def __call__(self, group):
        self.num_groups += 1
        marker = Path("killed")
        if self.num_groups == 15 and not marker.exists():
            while not Path("runs/killed/stages/1-rl/checkpoints/step_2").is_dir():
                time.sleep(0.01)
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "third" if self.num_groups % 3 == 0 else None


class Counting(Forgetful):
    def save_state(self):
        return Snapshot(json={"num_groups": self.num_groups})

    def load_state(self, restored):
        self.num_groups = restored.json["num_groups"]


@dataclass(frozen=True, kw_only=True)
class Odd:
    """Reward odd tokens, which a model may stumble upon."""

    def build(self, *_, **__):
        return lambda samples: [RewardResult(float(sum(sample.tokens % 2))) for sample in samples]
'''


@pytest.fixture
def words(short, tmp_path, monkeypatch) -> list[str]:
    """Six rollouts of RL with the filter, from the model as it is made."""
    (tmp_path / "my_filter.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.chdir(tmp_path)
    kept = [word for word in short if not word.startswith("stages.sft.")]
    return [
        *kept,
        "stage=rl",
        "stages.rl.max_new_tokens=12",
        "evaluation.max_new_tokens=12",
        "~reward@stages.rl.rewards.exact_match",
        "+reward@stages.rl.rewards.odd=my_filter:Odd",
        "+filter@stages.rl.filters.third=my_filter:EveryThird",
    ]


def rows_of(run: Path) -> list[dict]:
    return [without_machine(row) for row in read_rows(run / "metrics.jsonl")]


def killed_and_uninterrupted(train, words: list[str]) -> tuple[Path, Path]:
    """Let the filter kill its run in the fourth rollout and resume it; run again without; return both."""
    assert train(*words, "run.name=killed").returncode == -signal.SIGKILL
    resumed = train(*words, "run.name=killed", "checkpoint.resume_from=latest")
    assert resumed.returncode == 0, resumed.stderr
    whole = train(*words, "run.name=whole")
    assert whole.returncode == 0, whole.stderr
    return train.output / "killed", train.output / "whole"


def weights_of(run: Path) -> bytes:
    return (run / "stages/1-rl/export/model.safetensors").read_bytes()


def test_a_filter_with_a_state_resumes_bit_for_bit(train, words):
    killed, whole = killed_and_uninterrupted(train, words)
    assert sum(row.get("accounting/filtered_third", 0) for row in rows_of(whole)) > 0
    assert rows_of(killed) == rows_of(whole)
    assert weights_of(killed) == weights_of(whole)


def test_twin_the_same_filter_without_save_state_differs(train, words):
    killed, whole = killed_and_uninterrupted(train, [*words, "stages.rl.filters.third.is_forgetful=true"])
    assert rows_of(killed) != rows_of(whole)
    assert weights_of(killed) != weights_of(whole)

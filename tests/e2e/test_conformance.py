"""A component that lacks what its slot asks for is named where it is built, before the first step."""

import pytest

THEIRS = """
from dataclasses import dataclass


class Thing:
    def stats(self):
        return {}


@dataclass(frozen=True, kw_only=True)
class Nothing:
    def build(self, *_, **__):
        return Thing()


@dataclass(frozen=True, kw_only=True)
class Data(Nothing):
    def splits(self):
        return ("demonstrations", "prompts", "test")


@dataclass(frozen=True, kw_only=True)
class Evaluation(Nothing):
    split: str = "test"


@dataclass(frozen=True, kw_only=True)
class Training(Nothing):
    def check(self, *_):
        pass

    def plan(self, *_, **__):
        return {}


@dataclass(frozen=True, kw_only=True)
class Optimizer(Nothing):
    learning_rate: float = 1.0
    schedule: str = "none"
    b2: float = 0.9
    weight_decay: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Model(Nothing):
    def handed_over(self, directory):
        return self
"""

SLOTS = {
    "engine": ("engine", "Nothing", "engine", "version, update_weights"),
    "evaluation component": ("evaluation", "Nothing", "evaluation", "split"),
    "evaluation": ("evaluation", "Evaluation", "evaluation", "num_problems, max_tokens, due, __call__"),
    "data component": ("data", "Nothing", "data", "splits"),
    "data": ("data", "Data", "data", "__len__, __getitem__, fingerprint"),
    "model component": ("model", "Nothing", "model", "handed_over"),
    "model": ("model", "Model", "model", "model, tokenizer, source"),
    "tokenizer": ("tokenizer", "Nothing", "tokenizer", "vocab_size"),
    "export": ("export", "Nothing", "export", "__call__"),
    "checkpoint": ("checkpoint.backend", "Nothing", "checkpoint", "save, load, wait"),
    "sink": ("logging.sinks.mine", "Nothing", "sink", "commit, close"),
    "evaluation's reward": ("evaluation.rewards.mine", "Nothing", "reward", "__call__"),
    "training component": ("stages.rl.training", "Nothing", "training", "check, plan"),
    "training": ("stages.rl.training", "Training", "training", "weight_version, score, forward_backward"),
    "optimizer": ("stages.rl.optimizer", "Optimizer", "optimizer", "init, update"),
    "objective": ("stages.rl.objective", "Nothing", "objective", "__call__"),
    "reward": ("stages.rl.rewards.mine", "Nothing", "reward", "__call__"),
    "advantage": ("stages.rl.advantage", "Nothing", "advantage", "__call__"),
    "filter": ("stages.rl.filters.mine", "Nothing", "filter", "__call__"),
    "rollout": ("stages.rl.rollout", "Nothing", "rollout", "__call__"),
}
"""By what it is: the key, the class of `theirs`, the slot, and the first members it lacks."""


@pytest.fixture
def theirs(distribution):
    """Put a module with components that lack most of their slots' members on the import path."""
    distribution("their-wheel", {}, {"theirs.py": THEIRS})


@pytest.mark.parametrize("case", SLOTS)
@pytest.mark.usefixtures("theirs")
def test_a_component_that_lacks_a_member_is_named_before_the_first_step(command, tmp_path, short, case):
    key, name, slot, lacking = SLOTS[case]
    words = [word for word in short if "stages.sft" not in word and key not in word.split("=")[0]]
    shared = [word for word in words if not word.startswith(f"{key}.")]
    status, _, err = command("stage=rl", "run.name=x", f"{key}=theirs:{name}", *shared)
    assert status == 2
    line = err.splitlines()[-1]
    assert f"{slot} 'theirs:{name}' " in line
    assert f"lacks {lacking}" in line
    assert all(file.read_text() == "" for file in tmp_path.glob("runs/x/metrics.jsonl"))


@pytest.mark.usefixtures("theirs")
def test_a_stage_that_lacks_run_is_named(command):
    status, _, said = command("stage=theirs:Nothing")
    assert status == 2
    assert "stage 'theirs:Nothing' builds a Thing, which lacks run" in said.splitlines()[-1]

"""A model family of somebody else's wheel: beside the wheels of burnish it is trained and exported."""

import json
from pathlib import Path

import pytest

PLUGIN = Path(__file__).resolve().parents[2] / "examples" / "plugin-family"
MADE = """
import sys
from pathlib import Path
from burnish_gpt2.config import GPT2
from burnish.llm import FamilyContext
from burnish.llm.weights import save_huggingface
config = {"model_type": "gpt2", "vocab_size": 260, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4}
model = GPT2().build(FamilyContext(hf_config=config))
save_huggingface(Path(sys.argv[1]), model, model.init(0), "float32")
"""
SHORT = (
    "tokenizer=bytes",
    "data.num_problems=2000",
    "data.num_demonstrations=64",
    "evaluation.num_problems=8",
    "evaluation.max_new_tokens=12",
    "engine.slots=8",
    "stages.sft.steps=8",
    "stages.sft.rows_per_step=8",
    "run.name=trial",
)


@pytest.fixture(scope="session")
def installed(environment):
    return environment("burnish-gpt2", "burnish-sft", "pytest")


def test_a_model_of_it_is_trained_sampled_from_exported_and_read_again(installed, tmp_path):
    (directory := tmp_path / "model").mkdir()
    made = installed.run("python", "-c", MADE, str(directory), cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    words = ("stage=sft", "model=pretrained", f"model.name_or_path={directory}", *SHORT)
    done = installed.run("train", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "trial"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [row["train/loss"] for row in rows if "train/loss" in row]
    assert losses[-1] < losses[0]
    again = ("stage=sft", "model=pretrained", "model.name_or_path=runs/trial", *SHORT[:-1], "run.name=again")
    done = installed.run("train", *again, "stages.sft.training=lora", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/again/stages/1-sft/adapter/adapter_config.json").is_file()


def test_its_own_tests_pass_against_the_wheels(installed, tmp_path):
    options = ("-p", "no:cacheprovider", "-c", str(PLUGIN / "pyproject.toml"))
    done = installed.run("python", "-m", "pytest", *options, str(PLUGIN / "tests"), cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "23 passed, 1 skipped" in done.stdout, "torch is not installed there"

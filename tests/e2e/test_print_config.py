"""What `train` prints of the whole default chain, how fast, and without what."""

import os
import resource
import subprocess
import sys

import pytest
import yaml

pytestmark = pytest.mark.fast

HEAVY = {"jax", "transformers", "torch", "numpy"}
LIMIT_SECONDS = 1.5

CHILD = """
import sys
from burnish.platform import cli
{before}
sys.argv = ["train", *{words}]
try:
    cli.train()
finally:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.fixture
def printed(tmp_path):
    """Return a function words -> (config, modules, processor seconds) of one process."""

    def call(*words, before=""):
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        finished = subprocess.run(
            [sys.executable, "-c", CHILD.format(words=list(words), before=before)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=os.environ,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert finished.returncode == 0, finished.stderr
        assert list(tmp_path.iterdir()) == []
        seconds = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
        return yaml.safe_load(finished.stdout), set(finished.stderr.split()), seconds

    return call


def expect_every_default(config):
    """Compare one default of each part of the default chain, from every package it comes from."""
    assert set(config["stages"]) == {"sft", "rl"}
    sft, rl = config["stages"]["sft"], config["stages"]["rl"]
    found = {
        "seed": config["run"]["seed"],
        "dtype": config["jax"]["compute_dtype"],
        "mesh": config["jax"]["mesh"],
        "backend": config["checkpoint"]["backend"],
        "sinks": [sink["use"] for sink in config["logging"]["sinks"].values()],
        "shared": [config[slot]["use"] for slot in ("model", "tokenizer", "data", "evaluation", "export")],
        "engine": (config["engine"]["use"], config["engine"]["slots"]),
        "reward": config["evaluation"]["rewards"]["exact_match"]["use"],
        "sft": (sft["use"], sft["steps"], sft["rows_per_step"], sft["objective"], sft["training"]["use"]),
        "sft optimizer": (sft["optimizer"]["use"], sft["optimizer"]["b1"], sft["optimizer"]["schedule"]),
        "rl": (rl["use"], rl["steps"], rl["prompts_per_step"], rl["rollout"]["use"], rl["training"]["use"]),
        "rl optimizer": (rl["optimizer"]["use"], rl["optimizer"]["b1"], rl["optimizer"]["schedule"]),
        "algorithm": (rl["advantage"]["use"], rl["objective"]["use"]),
        "shared by": [(stage["model"], stage["engine"]) for stage in (sft, rl)],
    }
    assert found == {
        "seed": 0,
        "dtype": "float32",
        "mesh": {"dp": 1, "fsdp": 1, "tp": 1},
        "backend": {"use": "msgpack"},
        "sinks": ["jsonl", "console", "tensorboard"],
        "shared": ["tiny", "auto", "arithmetic", "greedy", "huggingface"],
        "engine": ("in_process", "auto"),
        "reward": "exact_match",
        "sft": ("sft", 700, 64, {"use": "cross_entropy"}, "jax"),
        "sft optimizer": ("adamw", 0.9, "warmup_stable_decay"),
        "rl": ("rl", 40, 32, "single_turn", "jax"),
        "rl optimizer": ("adamw", 0.9, "linear"),
        "algorithm": ("group_mean", "clipped_policy_gradient"),
        "shared by": [("${model}", "${engine}")] * 2,
    }


@pytest.mark.parametrize("words", [["--cfg", "job"], ["--print-config"]], ids=" ".join)
def test_default_chain_when_printed_then_has_every_default_soon_and_without_numeric_libraries(printed, words):
    tries = [printed(*words) for _ in range(3)]
    config, modules, _ = tries[0]
    expect_every_default(config)
    assert not modules & HEAVY
    assert min(seconds for *_, seconds in tries) <= LIMIT_SECONDS, "beside other work the least counts"


def test_twin_another_default_and_an_import_are_seen(printed):
    config, modules, _ = printed("--print-config", "stages.rl.steps=41", before="import numpy")
    with pytest.raises(AssertionError, match="41"):
        expect_every_default(config)
    assert modules & HEAVY == {"numpy"}


def test_help_whose_reader_has_gone_ends_without_a_word(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", "from burnish.platform.cli import train; train()", "--help"]
    with os.fdopen(writer, "wb") as gone:
        ended = subprocess.run(command, cwd=tmp_path, stdout=gone, stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize("words", [["--cfg", "job"], ["--print-config"]])
@pytest.mark.parametrize(
    "wrong", ["stages.sft.steps=0", "+nonsense=3", "run.seed=x", "stages.rl.samples_per_prompt=1"]
)
def test_what_a_run_refuses_is_not_printed(command, words, wrong):
    refused, _, said = command("--dry-run", wrong)
    assert refused == 2
    assert command(*words, wrong) == (2, "", said)


def test_presets_in_a_directory_of_ones_own_are_printed_too(command, tmp_path):
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "mine.yaml").write_text("# @package _global_\nrun: {seed: 77}\n")
    for flags in (["--cfg", "job"], ["--print-config"]):
        status, out, _ = command(*flags, "--config-dir", "own", "+experiment=mine")
        assert (status, yaml.safe_load(out)["run"]["seed"]) == (0, 77)

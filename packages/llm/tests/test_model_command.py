"""The command `burnish model`: what it prints and what it refuses."""

import importlib.util
import os
import subprocess
import sys

import pytest

from burnish.llm.model_command import model
from burnish.llm.target import TARGETS, compiling_for, compute_capability, is_at_hand, platform
from burnish.platform.errors import ConfigError

HAS_COMPILER = importlib.util.find_spec("jax_cuda13_plugin") is not None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plann"], r"unknown command 'model plann'; legal: model plan"),
        (["plan", "--devices"], r"--devices: expected a value after it"),
        (["plan", "--devices", "0"], r"--devices=0: expected a whole number of 1 or more"),
        (["plan", "--devices", "two"], r"--devices=two: expected"),
        (["plan", "--devices=0"], r"--devices=0: expected a whole number of 1 or more"),
        (
            ["plan", "--device=2"],
            r"unknown flag '--device' \(did you mean '--devices'\?\); legal: --devices, --target",
        ),
        (["plan", "--target=h20"], r"--target=h20: unknown"),
        (["plan", "--target", "h20"], r"--target=h20: unknown \(did you mean 'h200'\?\); legal: h100, h200"),
    ],
)
def test_bad_words_are_refused(words, said):
    with pytest.raises(ConfigError, match=said):
        model(words)


@pytest.mark.parametrize("words", [[], ["--help"], ["plan", "-h"]])
def test_help_says_what_can_be_asked(words, capsys):
    model(words)
    assert "--target CARD" in capsys.readouterr().out


def test_what_is_compiled_for_is_the_target_inside_its_block_alone():
    assert (is_at_hand(), platform(), compute_capability()) == (True, "cpu", None)
    with compiling_for(TARGETS["h200"]):
        assert (is_at_hand(), platform(), compute_capability()) == (False, "gpu", (9, 0))
    assert (is_at_hand(), platform()) == (True, "cpu")


PLANNED = """
import jax
jax.config.update("jax_platforms", "cpu")
from burnish.llm.attention_choice import attention_of
from burnish.llm.batch import TokenBatch
from burnish.llm.compiled_plan import compiling_plans
from burnish.llm.config.family import Qwen2
from burnish.llm.config.optimizer import AdamW
from burnish.llm.config.training import JaxTraining
from burnish.llm.families.layers import Compute
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.objective import cross_entropy
from burnish.llm.target import TARGETS
from burnish.llm.testing import tiny_qwen2_config
from burnish.llm.training import TrainingContext
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.device.mesh import build_mesh
compute = Compute(attention=attention_of({kernel!r}, None, Artifacts()))
model = Qwen2().build(FamilyContext(hf_config=tiny_qwen2_config(64), compute=compute))
context = TrainingContext(
    model=model, load=None, optimizer=AdamW(), total_steps=1, mesh=build_mesh(),
    jax=JaxConfig(compute_dtype="bfloat16"),
)
with compiling_plans(TARGETS["h200"] if {targets} else None) as found:
    print(JaxTraining().plan(context, TokenBatch.like(num_rows=8, length=32), cross_entropy))
print(len(found), "plans")
"""


def run(code):
    env = {**os.environ, "XLA_FLAGS": ""}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)


@pytest.mark.skipif(not HAS_COMPILER, reason="needs burnish-llm[target], a compiler for NVIDIA cards")
@pytest.mark.parametrize("kernel", ["auto", "cudnn", "chunked"])
def test_step_is_compiled_for_a_card_that_is_not_there(kernel):
    done = run(PLANNED.format(kernel=kernel, targets=True))
    assert "'compiled for': '1 x NVIDIA H200" in done.stdout, done.stderr[-2000:]
    assert "temporaries" in done.stdout


@pytest.mark.skipif(HAS_COMPILER, reason="the compiler for NVIDIA cards is installed")
def test_without_its_compiler_a_target_is_refused_with_what_brings_it():
    done = run(PLANNED.format(kernel="auto", targets=True))
    assert "ConfigError: --target: no compiler for NVIDIA H200 141GB HBM3e answers here (" in done.stderr
    assert "its wheels come with pip install" in done.stderr
    assert "[target]" in done.stderr


def test_plan_compiles_for_the_devices_at_hand_where_it_is_asked_to():
    done = run(PLANNED.format(kernel="auto", targets=False))
    assert "'compiled for': '1 x cpu'" in done.stdout, done.stderr[-2000:]
    assert "1 plans" in done.stdout

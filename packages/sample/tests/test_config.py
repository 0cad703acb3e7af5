"""Options are checked before anything heavy is imported."""

import subprocess
import sys

import pytest

from burnish.platform.configuration.registry import available, resolve
from burnish.platform.errors import ConfigError
from burnish.sample.config.engine import InProcess
from burnish.sample.config.evaluation import GreedyEvaluation
from burnish.sample.config.stage import Eval

pytestmark = pytest.mark.fast

SLOTS = [
    ("engine", "in_process"),
    ("reward", "exact_match"),
    ("reward", "format"),
    ("evaluation", "greedy"),
    ("stage", "eval"),
]


@pytest.mark.parametrize(("slot", "name"), SLOTS)
def test_component_is_found_under_its_name(slot, name):
    assert available(slot)[name].distribution == "burnish-sample"
    assert isinstance(resolve(slot, name), type)


def test_config_imports_no_jax():
    code = "import sys, burnish.sample.config; print(sorted({'jax', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "option", ["slots", "decode_steps", "refill_slots", "prefill_rows", "prefill_tokens"]
)
def test_engine_shape_below_one_is_refused(option):
    with pytest.raises(ConfigError, match=f"{option}=0 is out of range; legal: 1 or more"):
        InProcess(**{option: 0})


def test_evaluation_rewards_the_exact_match_unless_told_otherwise():
    assert list(GreedyEvaluation().rewards) == ["exact_match"]


def test_eval_stage_shares_all_its_components():
    assert sorted(vars(Eval())) == ["data", "engine", "evaluation", "model", "tokenizer"]

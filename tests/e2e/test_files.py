"""What a user's YAML file may say, as the command line says it."""

import math
import re
import sys

import pytest
import yaml

from burnish.platform.configuration.composition import compose_config
from burnish.platform.errors import ConfigError

pytestmark = pytest.mark.fast


@pytest.fixture
def composed(tmp_path):
    """Return the config of a file with this text, then these words."""

    def compose(text, *words):
        (tmp_path / "mine.yaml").write_text(text)
        return compose_config([str(tmp_path / "mine.yaml"), *words])

    return compose


@pytest.mark.parametrize("chain", ["sft+rl+sft", "[sft, rl, sft]", "[sft+rl, sft]"])
def test_a_chain_is_what_it_is_behind_stage(composed, chain):
    assert list(composed(f"stage: {chain}").stages) == ["sft", "rl", "sft_2"]
    assert list(composed(f"stage: {chain}", "stage=eval").stages) == ["eval"]


def test_blocks_that_name_another_stage_than_the_chain_are_refused(composed):
    with pytest.raises(ConfigError, match="contradicts the chosen 'sft'"):
        composed("{stage: sft, stages: {sft: {use: rl}}}")


@pytest.mark.parametrize("value", ["3", "null", "[1]", "[]", "{}"])
def test_a_chain_of_something_else_is_refused(composed, value):
    with pytest.raises(ConfigError, match="stage: expected a chain such as sft"):
        composed(f"stage: {value}")


LABELS = [
    ("{exact_match: null, shape: format}", ["shape"]),
    ("{shape: format}", ["exact_match", "shape"]),
    ("{exact_match: format}", ["exact_match"]),
    ("{exact_match: null, shape: {use: format, pattern: x}}", ["shape"]),
]


@pytest.mark.parametrize(("rewards", "left"), LABELS)
def test_a_label_adds_or_changes_and_null_removes(composed, rewards, left):
    text = f"{{stage: rl, stages: {{rl: {{rewards: {rewards}}}}}}}"
    assert list(composed(text).stages["rl"].rewards) == left


def test_null_removes_on_the_command_line_too():
    config = compose_config(["stage=rl", "logging.sinks.tensorboard=null"])
    assert sorted(config.logging.sinks) == ["console", "jsonl"]


def test_what_is_removed_stays_removed_where_the_record_is_read_again(composed):
    config = composed("{stage: rl, logging: {sinks: {tensorboard: null}}}")
    again = composed(yaml.safe_dump(config.resolved))
    assert sorted(again.logging.sinks) == ["console", "jsonl"]
    assert again.resolved == config.resolved


@pytest.mark.parametrize("value", ["inf", ".inf", "+inf", ".Inf"])
def test_an_infinite_number_is_written_in_any_way(composed, value):
    in_file = composed(f"{{stage: sft, stages: {{sft: {{training: {{max_grad_norm: {value}}}}}}}}}")
    typed = compose_config(["stage=sft", f"stages.sft.training.max_grad_norm={value}"])
    for config in (in_file, typed):
        assert config.stages["sft"].training.max_grad_norm == math.inf
        assert config.resolved["stages"]["sft"]["training"]["max_grad_norm"] == math.inf


def test_a_module_beside_the_file_is_found(composed, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "beside_the_file.py").write_text("def halves(samples):\n    return [0.5 for _ in samples]\n")
    text = "{stage: rl, stages: {rl: {rewards: {mine: 'beside_the_file:halves'}}}}"
    assert list(composed(text).stages["rl"].rewards) == ["exact_match", "mine"]


CHOSEN_AFTER = [
    ("{rl: {rewards: {exact_match: null}}}", "stages.rl.rewards.exact_match=exact_match"),
    ("{rl: {rewards: {exact_match: null}}}", "reward@stages.rl.rewards.exact_match=format"),
]


@pytest.mark.parametrize(("stages", "word"), CHOSEN_AFTER)
def test_what_a_file_removes_the_command_line_may_choose(composed, stages, word):
    text = f"{{stage: rl, stages: {stages}}}"
    assert list(composed(text, word).stages["rl"].rewards) == ["exact_match"]
    with pytest.raises(ConfigError, match="there is nothing to learn from"):
        composed(text)


def test_what_the_record_of_a_run_removes_the_command_line_may_choose(composed):
    text = yaml.safe_dump(compose_config(["stage=sft", "logging.sinks.console=null"]).resolved)
    assert "console" in composed(text, "logging.sinks.console=console").logging.sinks


def test_a_removal_of_what_is_not_there_is_refused(composed):
    said = "rewards.exact_mtach: null removes what is not there (did you mean 'exact_match'?)"
    with pytest.raises(ConfigError, match=re.escape(said)):
        composed("{stage: rl, stages: {rl: {rewards: {exact_mtach: null}}}}")
    with pytest.raises(ConfigError, match=r"sinks\.consoles: null removes what is not there"):
        compose_config(["stage=rl", "logging.sinks.consoles=null"])


def test_what_a_file_adds_the_command_line_may_remove(composed):
    text = "{stage: rl, stages: {rl: {rewards: {shape: format}}}}"
    assert list(composed(text, "stages.rl.rewards.shape=null").stages["rl"].rewards) == ["exact_match"]


def test_a_list_deep_in_a_file_is_told_in_words(composed):
    with pytest.raises(ConfigError, match="expected a mapping of options, got a list"):
        composed("{stage: rl, evaluation: {rewards: [exact_match]}}")

"""What a user's YAML file may say, as the command line says it."""

import math
import sys

import pytest
import yaml

from burnish.platform.configuration.composition import compose_config

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
    with pytest.raises(Exception, match="contradicts the chosen 'sft'"):
        composed("{stage: sft, stages: {sft: {use: rl}}}")


@pytest.mark.parametrize("value", ["3", "null", "[1]", "[]", "{}"])
def test_a_chain_of_something_else_is_refused(composed, value):
    with pytest.raises(Exception, match="stage: expected a chain such as sft"):
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

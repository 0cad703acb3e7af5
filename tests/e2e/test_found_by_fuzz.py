"""What the fuzz test has found, one case each: a traceback once, one line since."""

import json

import pytest

from burnish.platform.testing import call_train

NESTED = "[" * 2000 + "]" * 2000
LINE = {"prompt": "1+1=", "completion": "2", "answer": "2"}


@pytest.mark.parametrize(
    ("words", "said"),
    {
        "a chain that is no text": (["stage=[1]"], "'stage=[1]': expected a name for what is chosen here"),
        "a chain that is a number": (["stage=0"], "'stage=0': expected a name for what is chosen here"),
        "a number of more digits than are read": (["run.seed=" + "9" * 5000], "integer string conversion"),
        "a word that is nested too deep": ([f"data.num_problems={NESTED}"], "nested too deep for any option"),
        "a block by its number": (["stage=sft", "stages.0.steps=3"], "stages.0"),
        "a constant as an engine": (["stage=sft", "engine=math:pi"], "engine 'math:pi' is neither"),
        "a module as an engine": (["stage=sft", "engine=os:path"], "engine 'os:path' is neither"),
        "a class without build": (["stage=sft", "engine=builtins:dict"], "'builtins:dict' is neither"),
        "a text as a reward": (["stage=rl", "stages.rl.rewards.x=os:sep"], "reward 'os:sep' is neither"),
        "no section": (["stage=sft", "logging=null"], "logging: expected a mapping of options, got null"),
        "no mesh": (["stage=sft", "jax.mesh=null"], "jax.mesh: expected a mapping of options, got null"),
        "no stage": (["stage=sft", "stages.sft=null"], "stages.sft: it is in the chain and has no options"),
        "no engine": (["stage=sft", "engine=null"], "'engine=null': expected a name for what is chosen"),
        "a name that is nowhere": (["run.name=${nope}"], "run.name: Interpolation key 'nope' not found"),
        "a null character": (["stage=sft", "run.name='a\0b'"], "run.name"),
        "no temperature": (["stage=rl", "stages.rl.temperature=nan"], "temperature=nan is out of range"),
        "half a character": (["stage=sft", "run.name=\udcff"], "run.name"),
        "a list as a section": (["jax.mesh=[1]"], "jax.mesh: expected a mapping of options, got a list"),
        "two values": (["stage=sft,eval"], "'stage=sft,eval': several values; add -m to run each"),
        "a size beyond all": (["stage=sft", "stages.sft.steps=1e23"], "steps: expected a whole number"),
    }.values(),
)
def test_words_that_are_no_config(refused, words, said):
    line = refused(*words)
    assert said in line
    assert len(line) < 1000


@pytest.mark.parametrize("text", ["stages: {no: null}", "{1: 2}", "run: {3: x}"])
def test_a_file_with_a_key_that_is_no_text(refused, tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text)
    assert "is no text; name an option, or put it in quotes" in refused("mine.yaml", "stage=rl")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("jax: [1]", "jax: expected a mapping of options, got [1]"),
        ("jax: {mesh: [1]}", "jax.mesh: expected a mapping of options, got [1]"),
        ("stages: [rl]", 'stages: expected a mapping of options, got ["rl"]'),
        ("stages: {rl: [1]}", "stages.rl: expected a mapping of options, got [1]"),
        ("engine: [1]", "engine: expected a name for the slot 'engine' or a mapping with 'use', got [1]"),
        ("stages: {rl: {optimizer: [1]}}", "stages.rl.optimizer: expected a name for the slot 'optimizer'"),
        ("stages: {rl: {rewards: [format]}}", "stages.rl.rewards: expected a mapping from labels to comp"),
        ("stages: {rl: {rewards: format}}", "stages.rl.rewards: expected a mapping of options, got 'format'"),
        ("defaults: [{override /algorithm: rloo}]", "'algorithm' is a group of presets; train --help lists"),
        ("{stage: sft, advantage: {use: batch_mean}}", "advantage: no stage of the chain has this slot"),
        ("'': null", ": unknown key; legal keys: run"),
        ("hydra: 3", "hydra: expected a mapping of Hydra's own options, got 3"),
    ],
)
def test_a_file_with_a_list_or_text_in_place_of_options(refused, tmp_path, text, said):
    (tmp_path / "mine.yaml").write_text(text)
    assert said in refused("mine.yaml", "stage=rl")


@pytest.mark.parametrize("value", ["null", "3", "x"])
def test_a_section_of_every_run_that_is_none(monkeypatch, capsys, tmp_path, only_line, value):
    monkeypatch.chdir(tmp_path)
    line = only_line(*call_train(["stage=sft", f"run={value}"], monkeypatch, capsys))
    assert "run: expected a mapping of options, got" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"messages": "hello"}, "field 'messages' is a text; legal: a list of messages"),
        ({"messages": {"role": "user"}}, "field 'messages' is an object; legal: a list of messages"),
        ({"messages": ["hello"]}, "field 'messages' holds a text; legal: messages, each an object"),
        ({"prompt": "\ud800"}, "a text holds half of a character: surrogates not allowed"),
        ({"other": [{"\udc00": 1}]}, "a text holds half of a character"),
    ],
)
@pytest.mark.parametrize("stage", ["sft", "eval"])
def test_data_that_cannot_be_rendered(refused, tmp_path, stage, columns, said):
    (tmp_path / "lines.jsonl").write_text(json.dumps({**LINE, **columns}))
    words = [f"stage={stage}", "data=jsonl", "data.path=lines.jsonl", "data.test_path=lines.jsonl"]
    assert f"lines.jsonl:1: {said}" in refused("--dry-run", *words)


def test_a_line_that_is_nested_too_deep(refused, tmp_path):
    (tmp_path / "lines.jsonl").write_text('{"prompt": ' + "[" * 100_000)
    assert "lines.jsonl:1: broken JSON" in refused("stage=sft", "data=jsonl", "data.path=lines.jsonl")

"""What a user may type: a component as a value, a new label, a new key of a mapping."""

import pytest
from omegaconf import OmegaConf

from burnish.platform.configuration.composition import compose_config, compose_raw, prepare
from burnish.platform.errors import ConfigError

pytestmark = pytest.mark.usefixtures("toy")


def block(*words):
    """Return the options of the block `toy` that some words compose to."""
    return compose_config(["stage=toy", *words]).resolved["stages"]["toy"]


@pytest.mark.parametrize("written", ["stage=[toy,other]", "stage=[toy, other]", "stage=toy+other"])
def test_compose_when_chain_is_a_list_then_it_is_a_chain(written):
    assert list(compose_raw([written]).stages) == ["toy", "other"]


@pytest.mark.parametrize(
    ("words", "factors"),
    [
        (["stages.toy.factors={a: 2.0}"], {"a": 2.0}),
        (["stages.toy.factors={a: 2.0, b: 1.5}", "stages.toy.factors.a=3.0"], {"a": 3.0, "b": 1.5}),
        (["stages.toy.factors.a=2.5"], {"a": 2.5}),
        (["++stages.toy.factors.a=2.5"], {"a": 2.5}),
        (["stages.toy.factors.a=2.5", "~stages.toy.factors.a"], {}),
    ],
)
def test_mapping_when_a_key_is_new_then_it_is_added(words, factors):
    assert block(*words)["factors"] == factors


def test_mapping_when_a_value_is_of_the_wrong_type_then_says_where():
    with pytest.raises(
        ConfigError, match=r"stages\.toy\.factors\.a: input should be a valid number, got 'x'"
    ):
        block("stages.toy.factors.a=x")
    with pytest.raises(ConfigError, match=r"stages\.toy\.factors: expected a mapping, got 3"):
        block("stages.toy.factors=3")


@pytest.mark.parametrize(
    ("words", "rewards"),
    [
        (["stages.toy.rewards.more=size"], {"length": {"use": "length"}, "more": {"use": "size"}}),
        (["stages.toy.rewards.length=size"], {"length": {"use": "size"}}),
        (["stages.toy.rewards.length=burnish_toy:length"], {"length": {"use": "burnish_toy:length"}}),
        (
            ["stages.toy.rewards={more: size, length: size}"],
            {"length": {"use": "size"}, "more": {"use": "size"}},
        ),
        (
            ["stages.toy.rewards.more=size", "~stages.toy.rewards.length"],
            {"more": {"use": "size"}, "length": None},
        ),
        (
            ["stages.toy.rewards.a=size", "stages.toy.rewards.b=length"],
            {"length": {"use": "length"}, "a": {"use": "size"}, "b": {"use": "length"}},
        ),
        (
            ["+reward@stages.toy.rewards.a=size", "stages.toy.rewards.length=size"],
            {"length": {"use": "size"}, "a": {"use": "size"}},
        ),
    ],
)
def test_label_when_a_component_is_given_then_it_is_there(words, rewards):
    assert block(*words)["rewards"] == rewards


def test_label_when_its_component_has_options_then_they_can_be_set():
    words = ["stages.toy.judges.a=slow", "stages.toy.judges.a.address=there", "stages.toy.judges.b=echo"]
    assert block(*words)["judges"] == {
        "a": {"use": "slow", "delay_seconds": 0.5, "pattern": "^a${b", "address": "there"},
        "b": {"use": "echo", "repeat": 1, "mode": "quiet", "rate": 1.0, "names": ["a", "b"]},
    }
    whole = block("stages.toy.judges.a={use: slow, address: there}", "stages.toy.judges.b=echo")
    assert whole["judges"] == block(*words)["judges"]


def test_label_when_a_file_gives_it_already_then_the_command_line_wins(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("stages: {toy: {use: toy, judges: {a: echo}, factors: {x: 1.0}}}\n", encoding="utf-8")
    words = [
        str(path),
        "stages.toy.judges.a=slow",
        "stages.toy.judges.a.address=x",
        "stages.toy.factors.y=2.0",
    ]
    found = compose_config(words).resolved["stages"]["toy"]
    assert found["judges"]["a"]["use"] == "slow"
    assert found["factors"] == {"x": 1.0, "y": 2.0}


def test_label_when_a_section_has_several_then_one_more_is_added():
    words = ["stage=toy", "logging.sinks.more=jsonl", "logging.sinks.console=jsonl"]
    sinks = compose_config(words).resolved["logging"]["sinks"]
    assert {label: sink["use"] for label, sink in sinks.items()} == {
        "jsonl": "jsonl",
        "console": "jsonl",
        "tensorboard": "tensorboard",
        "more": "jsonl",
    }


def test_slot_when_it_is_inside_of_the_shared_component_then_it_is_chosen(distribution):
    source = (
        "from dataclasses import dataclass\nfrom typing import Any\n"
        "from burnish.platform.configuration.slot_fields import slot, slots\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Wrap:\n"
        "    inner: Any = slot('engine', 'echo')\n    more: Any = slots('engine', [])\n"
        "    def build(self): ...\n"
    )
    distribution("wrap", {"engine": {"wrap": "wrap:Wrap"}}, {"wrap.py": source})
    words = ["engine=wrap", "engine.inner=slow", "engine.inner.address=x", "engine.more.a=echo"]
    found = compose_config(["stage=toy", *words]).resolved["engine"]
    assert found["inner"]["address"] == "x"
    assert found["more"]["a"]["repeat"] == 1


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("stages.toy.limits.middle=3", "stages.toy.limits.middle: unknown key; legal keys: low, high"),
        ("stages.toy.limits={hihg: 3}", "unknown key (did you mean 'high'?)"),
        ("stages.toy={stepz: 3}", "stages.toy.stepz: unknown key (did you mean 'steps'?)"),
        ("stages.toy.factor={a: 1}", "stages.toy.factor: unknown key (did you mean 'factors'?)"),
        ("stages.toy.rewards.more=lengthy", "unknown reward 'lengthy' (did you mean 'length'?)"),
        ("stages.toy.rewards.more=3", "stages.toy.rewards.more: expected a name for the slot 'reward'"),
        ("stages.toy.rewards.more.x=3", "stages.toy.rewards.more"),
        (
            "stages.toy.rewards.length.x=3",
            "stages.toy.rewards.length.x: unknown key; 'length' has no options",
        ),
        (
            "stages.toy.rewards.more={use: size, x: 3}",
            "stages.toy.rewards.more.x: unknown key; 'size' is a function and has no options",
        ),
    ],
)
def test_train_when_a_word_is_wrong_then_one_line_and_status_2(train, word, message):
    status, out, err = train("stage=toy", word)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not err.rstrip().endswith(":")


def test_prepare_when_a_word_is_an_option_then_it_stays_as_typed():
    words = ["stage=toy", "stages.toy.steps=4", "run.name=x", "engine.mode=loud", "stages.toy.limits.low=1"]
    assert prepare(words) == (words, words)


def test_twin_left_as_typed_a_new_key_is_refused_by_hydra(monkeypatch):
    from hydra.errors import ConfigCompositionException

    from burnish.platform.configuration import composition

    monkeypatch.setattr(composition, "written_out", lambda words, _: list(words))
    with pytest.raises(ConfigCompositionException, match=r"stages\.toy\.factors\.a"):
        compose_raw(["stage=toy", "stages.toy.factors.a=2.5"])


def test_train_when_a_word_is_short_then_it_is_recorded_as_typed(train, tmp_path):
    words = ["stage=[toy]", "stages.toy.rewards.more=size", "stages.toy.factors.a=1.5", "run.name=x"]
    assert train(*words)[0] == 0
    record = OmegaConf.load(tmp_path / "runs/x/run.json")
    assert list(record.overrides) == words

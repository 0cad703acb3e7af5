import copy
import re

import pytest

from burnish.platform.configuration.component import FunctionComponent
from burnish.platform.configuration.normalize import normalize
from burnish.platform.errors import ComponentError, ConfigError

pytestmark = [pytest.mark.fast, pytest.mark.usefixtures("toy")]

CHOICES = {
    "stage": "toy",
    "stages@stages.toy": "toy",
    "engine": "echo",
    "data": "arithmetic",
    "advantage@stages.toy.advantage": "toy_mean",
}
COMPOSED = {
    "run": {"seed": 3},
    "engine": {"use": "echo", "repeat": 2},
    "data": {"use": "arithmetic"},
    "stages": {"toy": {"use": "toy", "steps": 4}},
}


def changed(path, value):
    """Return the composed mapping with one value put in, at a dotted path."""
    composed = copy.deepcopy(COMPOSED)
    *parents, last = path.split(".")
    holder = composed
    for parent in parents:
        holder = holder.setdefault(parent, {})
    holder[last] = value
    return composed


def refusal(path, value, choices=CHOICES):
    with pytest.raises((ConfigError, ComponentError)) as caught:
        normalize(changed(path, value), choices)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_normalize_when_legal_then_every_component_is_an_instance():
    config = normalize(COMPOSED, CHOICES)
    stage = config.stages["toy"]
    assert stage.steps == 4
    assert stage.engine is config.shared["engine"]
    assert (stage.engine.repeat, stage.engine.names) == (2, ("a", "b"))
    assert isinstance(stage.rewards["length"], FunctionComponent)
    assert config.run.seed == 3
    assert type(config.checkpoint.backend).__name__ == "Msgpack"
    assert list(config.logging.sinks) == ["jsonl", "console", "tensorboard"]


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_normalize_when_a_seed_is_at_the_edge_then_it_is_taken(seed):
    assert normalize(changed("run.seed", seed), CHOICES).run.seed == seed


def test_normalize_when_legal_then_resolved_has_every_default_and_use():
    resolved = normalize(COMPOSED, CHOICES).resolved
    assert resolved["stages"]["toy"] == {
        "use": "toy",
        "engine": {"use": "echo", "repeat": 2, "mode": "quiet", "rate": 1.0, "names": ["a", "b"]},
        "data": resolved["data"],
        "advantage": {"use": "toy_mean", "scale": True},
        "judge": None,
        "rewards": {"length": {"use": "length"}},
        "judges": {},
        "factors": {},
        "limits": {"low": 0, "high": 9},
        "steps": 4,
    }
    assert resolved["jax"]["mesh"] == {"dp": 1, "fsdp": 1, "tp": 1}


def test_normalize_when_legal_then_records_who_provides_each_component():
    records = {
        (found.slot, found.name): found.distribution for found in normalize(COMPOSED, CHOICES).components
    }
    assert records["stage", "toy"] == "burnish-toy"
    assert records["reward", "length"] == "burnish-toy"
    assert records["checkpoint", "msgpack"] == "burnish-platform"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("extra", 1, "extra: unknown key; legal keys: run, jax"),
        ("rnu", 1, "rnu: unknown key (did you mean 'run'?)"),
        ("run.seed", -1, "seed=-1 is out of range; legal: 0 to 4294967295"),
        ("run.seed", 2**32, "seed=4294967296 is out of range; legal: 0 to 4294967295"),
        ("run.sede", 1, "run.sede: unknown key (did you mean 'seed'?); legal keys: name, output_dir, seed"),
        ("jax.mesh.pd", 1, "jax.mesh.pd: unknown key"),
        ("engine.repaet", 1, "engine.repaet: unknown key (did you mean 'repeat'?)"),
        ("stages.toy.stepz", 1, "stages.toy.stepz: unknown key (did you mean 'steps'?)"),
        ("stages.toy.limits.hihg", 1, "stages.toy.limits.hihg: unknown key (did you mean 'high'?)"),
        ("stages.toy.advantage", {"use": "toy_mean", "x": 1}, "stages.toy.advantage.x: unknown key"),
        (
            "stages.toy.rewards",
            {"length": {"use": "length", "x": 1}},
            "rewards.length.x: unknown key; 'length' is a function and has no options",
        ),
        (
            "stages.tyo",
            {"use": "toy"},
            "stages.tyo: the chain stage=toy has no such block (did you mean 'toy'?)",
        ),
        ("advantage", {"use": "toy_mean"}, "advantage: no stage of the chain stage=toy uses it"),
    ],
)
def test_normalize_when_a_key_is_unknown_then_says_where_and_what_is_legal(path, value, message):
    assert message in refusal(path, value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("stages.toy.steps", "abc", "stages.toy.steps: expected a whole number, got 'abc'"),
        ("stages.toy.steps", "4", "stages.toy.steps: expected a whole number, got '4'"),
        ("stages.toy.steps", True, "stages.toy.steps: expected a whole number, got true"),
        ("stages.toy.steps", 4.0, "stages.toy.steps: expected a whole number, got 4.0"),
        ("stages.toy.steps", None, "stages.toy.steps: expected a whole number, got null"),
        ("stages.toy.steps", [4], "stages.toy.steps: expected a whole number, got [4]"),
        ("engine.mode", "lodu", "engine.mode: expected 'quiet' or 'loud', got 'lodu' (did you mean 'loud'?)"),
        ("engine.rate", "fast", "engine.rate: expected a number, got 'fast'"),
        ("engine.names", "ab", "engine.names: expected a list, got 'ab'"),
        ("engine.names", ["a", 3], "engine.names.1: input should be a valid string, got 3"),
        ("run.name", 3, "run.name: expected a text or null, got 3"),
        ("jax.mesh", 3, "jax.mesh: expected a mapping of options, got 3"),
        ("jax.mesh.dp", 0, "jax.mesh.dp=0 is out of range; legal: 1 or more"),
        ("stages.toy.limits.low", 10, "stages.toy.limits.low=10 must not exceed high=9"),
        ("data.worked_fraction", 2.0, "data.worked_fraction=2.0 is out of range; legal: 0 to 1"),
        ("stages.toy.rewards", ["length"], "stages.toy.rewards: expected a mapping of options"),
        ("stages.toy.advantage", None, "stages.toy.advantage: expected a name for the slot 'advantage'"),
        ("stages", 3, "stages: expected a mapping"),
        ("engine", {"repeat": 2}, "engine: it does not say which engine it is; add 'use'"),
        ("engine.use", 3, "engine.use: expected a name for the slot 'engine', got 3"),
        ("engine", {"target": "a:B", "kwarg": {}}, "engine.kwarg: unknown key (did you mean 'kwargs'?)"),
        ("engine", {"target": "burnish_toy:Echo", "use": "echo"}, "engine.use: unknown key"),
    ],
)
def test_normalize_when_a_value_is_illegal_then_says_where_got_and_legal(path, value, message):
    assert message in refusal(path, value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("stages.toy.steps", 5),
        ("engine.rate", 2),
        ("engine.names", ["x"]),
        ("run.name", None),
        ("engine.mode", "loud"),
    ],
)
def test_normalize_when_a_value_is_legal_then_is_taken(path, value):
    normalize(changed(path, value), CHOICES)


@pytest.mark.parametrize("value", ["slow", {"use": "slow", "delay_seconds": 1.0}])
def test_normalize_when_a_required_option_is_missing_then_says_which(value):
    assert refusal("engine", value, CHOICES | {"engine": "slow"}).startswith(
        "engine.address: a value is required"
    )


def test_normalize_when_a_required_option_reads_missing_then_says_which():
    value = {"use": "slow", "address": "???"}
    assert refusal("engine", value, CHOICES | {"engine": "slow"}).startswith(
        "engine.address: a value is required"
    )


@pytest.mark.parametrize(
    "value",
    [
        "slow_address",
        {"use": "burnish_toy:Echo", "repeat": 5},
        {"target": "burnish_toy:Echo", "kwargs": {"repeat": 5}},
    ],
)
def test_normalize_when_a_component_is_written_in_any_form_then_it_is_the_same(value):
    choices = {key: choice for key, choice in CHOICES.items() if key != "engine"}
    if value == "slow_address":
        assert "unknown engine 'slow_address'" in refusal("engine", value, choices)
        return
    config = normalize(changed("engine", value), choices)
    assert config.shared["engine"].repeat == 5
    assert config.resolved["engine"]["use"] == "burnish_toy:Echo"


def test_normalize_when_use_differs_from_the_choice_then_says_how_to_choose():
    message = refusal("engine", {"use": "slow", "address": "x"})
    assert message.startswith("engine.use: 'slow' contradicts the chosen 'echo'")
    assert "engine=slow" in message
    assert "override /engine: slow" in message
    message = refusal("stages.toy.advantage", {"use": "burnish_toy:Mean"})
    assert "advantage@stages.toy.advantage=burnish_toy:Mean" in message


def test_normalize_when_a_bare_name_replaces_the_choice_then_it_is_taken():
    config = normalize(changed("stages.toy.advantage", "burnish_toy:Mean"), CHOICES)
    assert config.resolved["stages"]["toy"]["advantage"] == {"use": "burnish_toy:Mean", "scale": True}


def test_normalize_when_a_stage_has_its_own_shared_component_then_it_is_not_the_top_one():
    own = {"use": "echo", "repeat": 9}
    config = normalize(changed("stages.toy.engine", own), CHOICES | {"engine@stages.toy.engine": "echo"})
    assert (config.stages["toy"].engine.repeat, config.shared["engine"].repeat) == (9, 2)


def test_normalize_when_a_shared_component_is_gone_then_says_how_to_add_it():
    composed = {key: value for key, value in COMPOSED.items() if key != "data"}
    with pytest.raises(
        ConfigError, match=re.escape("stages.toy.data needs it and it is not there; add +data=")
    ):
        normalize(composed, CHOICES)


def test_normalize_when_a_block_of_the_chain_is_gone_then_says_so():
    with pytest.raises(ConfigError, match=r"stages\.toy_2: it is in the chain and has no options"):
        normalize(COMPOSED, CHOICES | {"stage": "toy+toy"})


def test_normalize_when_an_annotation_cannot_be_checked_then_names_the_option(distribution):
    source = (
        "from dataclasses import dataclass\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from x import Depth\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Deep:\n"
        "    depth: 'Depth' = 3\n    def build(self): ...\n"
    )
    distribution("burnish-deep", {"engine": {"deep": "burnish_deep:Deep"}}, {"burnish_deep.py": source})
    message = refusal("engine", {"use": "deep", "depth": 4}, CHOICES | {"engine": "deep"})
    assert "option 'depth' of burnish_deep:Deep" in message
    assert "TYPE_CHECKING" in message


def test_normalize_when_stage_is_a_function_then_is_refused():
    composed = {**COMPOSED, "stages": {"length": {"use": "burnish_toy:length"}}}
    with pytest.raises(ComponentError, match="is a function"):
        normalize(composed, {"stage": "burnish_toy:length"})

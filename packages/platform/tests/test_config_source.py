import sys

import pytest
from omegaconf import OmegaConf

from burnish.platform.configuration.chain import chain_blocks
from burnish.platform.configuration.composition import compose_config, compose_raw, settle
from burnish.platform.configuration.config_source import register
from burnish.platform.errors import ComponentError, ConfigError

pytestmark = [pytest.mark.fast, pytest.mark.usefixtures("toy")]


def plain(*overrides):
    return OmegaConf.to_container(compose_raw(overrides), resolve=False)


def test_chain_blocks_when_a_stage_repeats_then_it_is_numbered():
    assert chain_blocks("a+b+a+a") == {"a": "a", "b": "b", "a_2": "a", "a_3": "a"}
    assert chain_blocks("my.module:Stage+b") == {"stage": "my.module:Stage", "b": "b"}
    for chain in ("a+", "+a", "a++b"):
        with pytest.raises(ConfigError, match=r"write stage=a or stage=a\+b"):
            chain_blocks(chain)


def test_compose_when_a_stage_is_chosen_then_every_default_of_every_slot_is_there():
    composed = plain("stage=toy")
    assert composed["stages"] == {
        "toy": {
            "use": "toy",
            "engine": "${engine}",
            "data": "${data}",
            "judge": None,
            "rewards": {"length": {"use": "length"}},
            "judges": {},
            "factors": {},
            "limits": {"low": 0, "high": 9},
            "steps": 3,
            "advantage": {"use": "toy_mean", "scale": True},
        }
    }
    assert composed["engine"] == {
        "use": "echo",
        "repeat": 1,
        "mode": "quiet",
        "rate": 1.0,
        "names": ["a", "b"],
    }
    chosen = composed["checkpoint"]["backend"], composed["logging"]["sinks"]["console"]
    assert chosen == ({"use": "msgpack"}, {"use": "console"})
    run = {"name": None, "output_dir": "runs", "seed": 0, "config_path": None}
    assert composed["run"] == {**run, "sweep_metric": None, "sweep_direction": "maximize"}
    assert [*composed][1:5] == ["run", "jax", "checkpoint", "logging"]


def test_compose_when_stages_share_a_slot_then_it_is_there_once_with_the_first_default():
    composed = plain("stage=toy+other+toy", "stages.toy_2.steps=9")
    assert list(composed["stages"]) == ["toy", "other", "toy_2"]
    assert composed["stages"]["toy_2"]["steps"] == 9
    assert composed["stages"]["toy"]["steps"] == 3
    assert composed["stages"]["other"]["engine"] == "${engine}"
    assert composed["engine"]["use"] == "echo"


def test_compose_when_no_stage_declares_a_slot_then_it_is_absent():
    assert "data" not in plain("stage=other", "engine=echo")
    assert "data" in plain("stage=toy")


def test_compose_when_an_import_path_is_chosen_then_its_options_are_there(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    source = (
        "from dataclasses import dataclass\n@dataclass(frozen=True)\n"
        "class Mine:\n    depth: int = 4\n    def build(self): ...\n"
    )
    (tmp_path / "my_engines.py").write_text(source, encoding="utf-8")
    config = compose_config(["stage=toy", "engine=my_engines:Mine", "engine.depth=5"])
    assert config.shared["engine"].depth == 5
    assert config.resolved["engine"] == {"use": "my_engines:Mine", "depth": 5}


@pytest.mark.parametrize(
    "written", ["advantage@stages.toy.advantage=burnish_toy:Mean", "stages.toy.advantage=burnish_toy:Mean"]
)
def test_compose_when_a_slot_is_chosen_by_key_or_by_value_then_its_options_can_be_set(written):
    composed = plain("stage=toy", written, "stages.toy.advantage.scale=false")
    assert composed["stages"]["toy"]["advantage"] == {"use": "burnish_toy:Mean", "scale": False}


def test_compose_when_an_optional_slot_is_chosen_then_it_is_filled():
    config = compose_config(["stage=toy", "stages.toy.judge=slow", "stages.toy.judge.address=x"])
    assert config.stages["toy"].judge.address == "x"


def test_compose_when_sinks_are_added_and_removed_then_the_mapping_follows():
    sinks = plain("stage=toy", "+sink@logging.sinks.two=jsonl", "~sink@logging.sinks.console")["logging"][
        "sinks"
    ]
    assert list(sinks) == ["jsonl", "tensorboard", "two"]


@pytest.mark.parametrize("written", ["+engine@stages.toy.engine=slow", "stages.toy.engine=slow"])
def test_compose_when_a_block_has_its_own_shared_component_then_nothing_of_the_other_stays(written):
    words = ["stage=toy+toy", written, "stages.toy.engine.address=there", "engine.repeat=2"]
    own = settle(compose_raw(words)).stages.toy.engine
    assert OmegaConf.to_container(own) == {
        "use": "slow",
        "delay_seconds": 0.5,
        "pattern": "^a\\${b",
        "address": "there",
    }
    config = compose_config(words)
    assert config.stages["toy"].engine.address == "there"
    assert config.stages["toy_2"].engine is config.shared["engine"]


def test_settle_when_left_out_then_options_of_the_other_component_stay():
    words = ["stage=toy+toy", "stages.toy.engine=slow", "stages.toy.engine.address=there"]
    assert "repeat" in compose_raw(words).stages.toy.engine


def test_compose_when_an_experiment_chooses_then_the_command_line_still_wins():
    config = compose_config(["+experiment=short", "stages.toy.steps=8"])
    assert [stage.steps for stage in config.stages.values()] == [8, 1]
    assert config.shared["engine"].address == "here"
    assert compose_config(["+experiment=short", "engine.address=there"]).shared["engine"].address == "there"


def test_recipe_when_the_model_has_one_then_it_applies_to_its_stage_and_no_other(distribution):
    source = (
        "from dataclasses import dataclass\nfrom typing import Any\n"
        "from burnish.platform.configuration.slot_fields import shared\n"
        "@dataclass(frozen=True)\nclass Small:\n    size: int = 1\n    def build(self): ...\n"
        "@dataclass(frozen=True)\nclass Large:\n    size: int = 9\n    def build(self): ...\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Learn:\n"
        "    model: Any = shared('model', 'small')\n    steps: int = 100\n    def build(self, run): ...\n"
    )
    distribution(
        "burnish-learn",
        {
            "stage": {"learn": "burnish_learn:Learn"},
            "model": {"small": "burnish_learn:Small", "large": "burnish_learn:Large"},
            "config": {"learn": "burnish_learn.conf"},
        },
        {
            "burnish_learn/__init__.py": source,
            "burnish_learn/conf/__init__.py": "",
            "burnish_learn/conf/recipe/learn_small.yaml": "steps: 7\n",
        },
    )
    assert compose_config(["stage=learn+learn"]).stages["learn_2"].steps == 7
    assert compose_config(["stage=learn", "model=large"]).stages["learn"].steps == 100
    assert compose_config(["stage=learn", "stages.learn.steps=2"]).stages["learn"].steps == 2


def write(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_file_when_written_like_a_preset_then_it_is_one(tmp_path):
    path = write(tmp_path, "defaults:\n  - override /stage: toy+other\nstages: {other: {steps: 2}}\n")
    config = compose_config([path, "stages.toy.steps=4"])
    assert [stage.steps for stage in config.stages.values()] == [4, 2]
    assert config.run.config_path == path


@pytest.mark.parametrize(
    "engine",
    [
        "{use: slow, address: here}",
        "{target: 'burnish_toy:Slow', kwargs: {address: here}}",
        "{use: 'burnish_toy:Slow', address: here}",
    ],
)
def test_file_when_it_names_a_component_in_place_then_only_its_own_options_are_there(tmp_path, engine):
    config = compose_config([write(tmp_path, f"engine: {engine}\n"), "stage=toy", "engine.delay_seconds=2.0"])
    assert (config.shared["engine"].address, config.shared["engine"].delay_seconds) == ("here", 2.0)


def test_file_when_it_names_components_inside_blocks_then_they_are_chosen(tmp_path):
    text = """
checkpoint: {backend: orbax}
logging: {sinks: {console: jsonl, more: {use: jsonl}}}
stages:
  toy:
    use: toy
    engine: {use: slow, address: a}
    judge: {use: slow, address: b}
    rewards: {length: {use: size}, other: length}
    advantage: {use: 'burnish_toy:Mean', scale: false}
  other: {use: other}
"""
    config = compose_config([write(tmp_path, text)])
    resolved = config.resolved
    assert list(config.stages) == ["toy", "other"]
    assert resolved["checkpoint"]["backend"] == {"use": "orbax"}
    assert resolved["logging"]["sinks"] == {
        "jsonl": {"use": "jsonl"},
        "console": {"use": "jsonl"},
        "tensorboard": {"use": "tensorboard"},
        "more": {"use": "jsonl"},
    }
    toy = config.stages["toy"]
    assert (toy.engine.address, toy.judge.address, toy.advantage.scale) == ("a", "b", False)
    assert resolved["stages"]["toy"]["rewards"] == {"length": {"use": "size"}, "other": {"use": "length"}}
    assert config.stages["other"].engine is config.shared["engine"]


def test_file_when_it_is_a_resolved_config_then_it_composes_to_itself(tmp_path):
    words = [
        "stage=toy+other+toy",
        "engine.repeat=4",
        "stages.toy_2.engine=echo",
        "stages.toy_2.engine.repeat=7",
    ]
    first = compose_config(words)
    path = write(tmp_path, OmegaConf.to_yaml(OmegaConf.create(first.resolved)))
    second = compose_config([path])
    assert second.stages == first.stages
    assert second.resolved["run"].pop("config_path") == path
    assert first.resolved["run"].pop("config_path") is None
    assert second.resolved == first.resolved


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "is no YAML"), ("- a\n- b\n", "holds no mapping"), ("defaults: 3\n", "expected a list")],
)
def test_file_when_it_cannot_be_read_as_options_then_says_so(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        compose_config([write(tmp_path, text), "stage=toy"])


def preset_distribution(distribution, name, option, files=None):
    module = name.replace("-", "_")
    content = {
        f"{module}/__init__.py": "",
        f"{module}/conf/__init__.py": "",
        f"{module}/conf/{option}.yaml": "{}",
    }
    distribution(name, {"config": {module: f"{module}.conf"}}, content | (files or {}))


def test_presets_when_two_distributions_claim_one_then_names_both(distribution):
    preset_distribution(distribution, "burnish-zzz", "experiment/short")
    with pytest.raises(ComponentError) as caught:
        register()
    words = ("'experiment/short'", "burnish-toy 1.0", "burnish-zzz 1.0", "uninstall one")
    assert all(word in str(caught.value) for word in words)


def test_presets_when_one_has_the_name_of_a_component_then_names_both(distribution):
    preset_distribution(distribution, "burnish-zzz", "engine/echo")
    with pytest.raises(ComponentError, match=r"'engine/echo'.*burnish-toy 1\.0.*burnish-zzz 1\.0"):
        register()


def test_presets_when_names_differ_then_nothing_is_refused(distribution):
    preset_distribution(distribution, "burnish-zzz", "engine/fast", {})
    register()


def test_presets_when_the_package_fails_to_import_then_names_its_distribution(distribution):
    distribution("burnish-bad", {"config": {"bad": "burnish_bad.conf"}}, {"burnish_bad/__init__.py": "1 / 0"})
    with pytest.raises(ComponentError, match=r"of burnish-bad 1\.0 fail to import: ZeroDivisionError"):
        register()


def test_presets_when_the_directory_is_no_package_then_says_what_is_missing(distribution):
    files = {"burnish_bare/__init__.py": "", "burnish_bare/conf/experiment/x.yaml": "{}"}
    distribution("burnish-bare", {"config": {"bare": "burnish_bare.conf"}}, files)
    with pytest.raises(ComponentError, match=r"need an __init__\.py"):
        register()


def test_preset_when_it_is_an_option_of_a_slot_then_it_composes_over_the_component(distribution):
    preset = {"burnish_zzz/conf/engine/fast.yaml": "defaults:\n  - slow\n  - _self_\naddress: quick\n"}
    preset_distribution(distribution, "burnish-zzz", "experiment/zzz", preset)
    config = compose_config(["stage=toy", "engine=fast"])
    assert config.resolved["engine"] == {
        "use": "slow",
        "delay_seconds": 0.5,
        "pattern": "^a${b",
        "address": "quick",
    }


def test_compose_when_options_are_listed_then_no_plugin_is_imported():
    compose_raw(["stage=other", "engine=echo"])
    assert "burnish_toy" in sys.modules
    del sys.modules["burnish_toy"]
    from burnish.platform.configuration.config_source import Components

    source = Components("burnish", "components://")
    assert source.list("engine", None)[:1] == ["echo"]
    assert "stages" not in source.list("", None)
    assert "burnish_toy" not in sys.modules

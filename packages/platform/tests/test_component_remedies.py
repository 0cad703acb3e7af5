"""What is said of components that cannot be chosen or used, done: it is read out and it works."""

import os
import re
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from burnish.platform.checkpoint.backend import CheckpointContext
from burnish.platform.checkpoint.config import Msgpack, Orbax
from burnish.platform.configuration import chain
from burnish.platform.configuration.composition import compose_config, compose_raw
from burnish.platform.configuration.conformance import built, conforming
from burnish.platform.configuration.normalize import normalize
from burnish.platform.configuration.presets import preset_packages
from burnish.platform.configuration.registry import available, resolve
from burnish.platform.data.source import DataComponent
from burnish.platform.device.accelerator import prepare_jax
from burnish.platform.errors import BurnishError
from burnish.platform.statistics.logger import StatsLogger
from burnish.platform.statistics.metric import registered_metrics
from burnish.platform.statistics.sink import SinkRow
from burnish.platform.statistics.tracker import StatsTracker
from burnish.platform.testing import named

pytestmark = [pytest.mark.fast, pytest.mark.usefixtures("toy")]

CHAIN = ["stage=toy"]
DEEP = """
from dataclasses import dataclass
from typing import TYPE_CHECKING
{imports}

@dataclass(frozen=True, kw_only=True)
class Deep:
    depth: "Count" = 3
    def build(self): ...
"""


def said_of(function, *arguments, **options):
    """What is said of arguments that are refused."""
    with pytest.raises(BurnishError) as caught:
        function(*arguments, **options)
    return str(caught.value)


def uninstall(tmp_path, name):
    """Take a distribution that a test has installed away again."""
    sys.path.remove(str(tmp_path / f"site-{name}"))


def test_a_stage_that_is_absent_is_installed(distribution):
    name = named(said_of(resolve, "stage", "far_away"), r"pip install (\S+);")
    distribution(name, {"stage": {"far_away": "burnish_toy:Toy"}})
    assert resolve("stage", "far_away").__name__ == "Toy"


def test_of_two_that_claim_a_name_one_is_uninstalled_or_named(distribution, tmp_path):
    distribution("burnish-zzz", {"engine": {"echo": "burnish_toy:Slow"}})
    message = said_of(resolve, "engine", "echo")
    one, other = re.findall(r"([\w-]+) 1\.0 \((\S+:\S+)\)", message)
    assert resolve("engine", one[1]).__name__ != resolve("engine", other[1]).__name__
    assert named(message, r"; (uninstall one), or name the one you want as 'package\.module:Symbol'$")
    uninstall(tmp_path, "burnish-zzz")
    assert resolve("engine", "echo").__name__ == "Echo"


def test_a_name_that_nobody_can_type_is_uninstalled(distribution, tmp_path):
    distribution("burnish-loud", {"engine": {"Loud-Name": "x:Y"}})
    uninstall(tmp_path, named(said_of(available, "engine"), r"; uninstall (\S+) or ask its author$"))
    assert "echo" in available("engine")


def test_of_two_that_claim_a_preset_one_is_uninstalled(distribution, tmp_path):
    files = {"more/__init__.py": "", "more/experiment/short.yaml": "{}"}
    distribution("burnish-zzz", {"config": {"more": "more"}}, files)
    message = said_of(preset_packages)
    assert message.endswith("; uninstall one of them")
    uninstall(tmp_path, named(message, r"(burnish-zzz) 1\.0"))
    assert preset_packages()


def test_a_directory_of_presets_becomes_a_package(distribution, tmp_path):
    distribution("burnish-loose", {"config": {"loose": "loose"}}, {"loose/experiment/x.yaml": "{}"})
    name = named(said_of(preset_packages), r"need an (\S+) in that directory$")
    (tmp_path / "site-burnish-loose/loose" / name).write_text("")
    sys.modules.pop("loose")
    assert any("experiment/x" in package.options for package in preset_packages())


def test_without_a_default_chain_a_listed_stage_is_set(monkeypatch):
    monkeypatch.setattr(chain, "DEFAULT_STAGES", "nothing_of_the_kind")
    message = said_of(chain.chain_blocks, "default")
    for name in re.findall(r"(\w+)", named(message, r"set stage=<name>, installed: (.*)$")):
        assert chain.chain_blocks(name) == {name: name}


def test_a_protocol_says_how_a_component_is_written():
    module, name = named(
        said_of(conforming, "data", object, object, DataComponent), r"write it as (\S+) says"
    ).split(":")
    assert getattr(import_module(module), name) is DataComponent
    conforming("data", found := resolve("data", "arithmetic")(), found, DataComponent)


class Unasked:
    """A component whose `build` takes nothing of its slot."""

    def build(self):
        return 1


def test_a_build_is_written_as_it_is_called():
    context = CheckpointContext()
    message = said_of(built, "checkpoint", Unasked(), object, context)
    line = named(message, r"write it as `(def build\(self, context: CheckpointContext\))`$")
    space = {"CheckpointContext": CheckpointContext}
    exec(f"class Asked:\n    {line}:\n        return 2", space)
    assert built("checkpoint", space["Asked"](), object, context) == 2


def test_an_annotation_is_imported_at_run_time(distribution):
    line = "from burnish.platform.configuration.ranges import Count"
    for name, imports in (("late", f"if TYPE_CHECKING:\n    {line}"), ("early", line)):
        files = {f"{name}.py": DEEP.format(imports=imports)}
        distribution(name, {"engine": {name: f"{name}:Deep"}}, files)
    message = said_of(compose_config, [*CHAIN, "engine=late"])
    assert named(message, r"; (import it outside of TYPE_CHECKING)$")
    compose_config([*CHAIN, "engine=early"])


def test_two_leaves_that_orbax_takes_for_one(tmp_path):
    leaf, context = np.zeros(1), CheckpointContext()
    orbax = Orbax().build(context)
    message = said_of(orbax.save, tmp_path / "a", {"a": {"b": leaf}, "a.b": leaf})
    assert "rename one, or" in message
    orbax.save(tmp_path / "b", {"a": {"b": leaf}, "other": leaf})
    orbax.wait()
    other = {"msgpack": Msgpack()}[named(message, r"or use checkpoint\.backend=(\w+)$")].build(context)
    other.save(tmp_path / "c", {"a": {"b": leaf}, "a.b": leaf})
    other.wait()


def test_leaves_of_another_model(tmp_path):
    backend = Msgpack().build(CheckpointContext())
    backend.save(tmp_path / "a", {"w": np.zeros(3)})
    backend.wait()
    message = said_of(backend.load, tmp_path / "a", {"w": np.zeros(4)})
    assert named(message, r"; (use the model and optimizer settings it was saved with)$")
    backend.load(tmp_path / "a", {"w": np.zeros(3)})


def test_determinism_after_a_device_was_used(monkeypatch):
    import jax

    monkeypatch.setenv("XLA_FLAGS", "")
    jax.devices()
    name, _, value = named(
        said_of(prepare_jax, deterministic=True), r"or set (\S+) in the environment$"
    ).partition("=")
    monkeypatch.setenv(name, value)
    prepare_jax(deterministic=True)
    assert os.environ["XLA_FLAGS"] == value


def test_a_key_that_is_no_text(tmp_path):
    path = Path(tmp_path / "my.yaml")
    path.write_text("stages: {toy: {use: toy, factors: {1: 2.0}}}\n", encoding="utf-8")
    key = named(
        said_of(compose_config, [str(path)]),
        r"the key (\S+) in .* is no text; name an option, or put it in quotes$",
    )
    path.write_text(f"stages: {{toy: {{use: toy, factors: {{'{key}': 2.0}}}}}}\n", encoding="utf-8")
    assert compose_config([str(path)]).resolved["stages"]["toy"]["factors"] == {"1": 2.0}
    path.write_text("stages: {toy: {use: toy, steps: 2}}\n", encoding="utf-8")
    compose_config([str(path)])


def test_a_shared_component_that_is_gone_is_added():
    composed = OmegaConf.to_container(compose_raw(CHAIN))
    composed = {key: value for key, value in composed.items() if key not in ("hydra", "data")}
    for shared in ("data", "engine"):
        composed["stages"]["toy"].pop(shared)
    slot, name = named(said_of(normalize, composed, {"stage": "toy"}), r"; add \+(\S+)$").split("=")
    assert name in available(slot)
    normalize({**composed, slot: name}, {"stage": "toy"})


def test_of_two_that_register_a_metric_one_is_uninstalled(distribution, tmp_path):
    source = (
        "from burnish.platform.statistics.metric import Metric\nLOSS = Metric(name='toy/loss', label='loss')"
    )
    distribution("glance", {"metric": {"loss": "glance:LOSS"}}, {"glance.py": source})
    distribution("rival", {"metric": {"mine": "glance:LOSS"}})
    message = said_of(registered_metrics)
    assert message.endswith("; uninstall one")
    uninstall(tmp_path, named(message, r"(rival) 1\.0"))
    assert "toy/loss" in [metric.name for metric in registered_metrics()]


def test_one_name_for_two_statistics():
    tracker = StatsTracker()
    tracker.scalar("x", 1)
    with pytest.raises(ValueError, match=r": use two names$"):
        tracker.maximum("x", 1)
    tracker.maximum("y", 1)
    assert tracker.summary() == {"x": 1, "y": 1}


def test_one_step_of_two_trackers():
    logger, row = StatsLogger({}), SinkRow(stage="sft", step=1, last_step=9, global_step=1)
    logger.commit(row, {"x": 1.0})
    with pytest.raises(ValueError, match=r": collect into one tracker$"):
        logger.commit(row, {"y": 1.0})
    StatsLogger({}).commit(row, {"x": 1.0, "y": 1.0})

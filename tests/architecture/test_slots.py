"""Every component of ours is built from one context, and every context can grow without breaking one."""

import dataclasses
import importlib
import inspect
import pkgutil
from importlib.metadata import entry_points

import pytest

pytestmark = pytest.mark.fast

PACKAGES = ("platform", "llm", "sample", "sft", "rl", "minionerec")
OTHERWISE = {"stage", "config", "metric", "default_stage", "command"}
"""Groups whose values are built from a run, or are not built."""


def components():
    return [
        pytest.param(point, id=f"{group.removeprefix('burnish.')}-{point.name}")
        for group in sorted(entry_points().groups)
        if group.startswith("burnish.") and group.removeprefix("burnish.") not in OTHERWISE
        for point in entry_points(group=group)
    ]


def contexts():
    for package in PACKAGES:
        root = importlib.import_module(f"burnish.{package}")
        for module in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
            if ".conf." not in f"{module.name}.":
                members = vars(importlib.import_module(module.name)).values()
                yield from {
                    each for each in members if inspect.isclass(each) and each.__name__.endswith("Context")
                }


@pytest.mark.parametrize("point", components())
def test_component_is_built_from_its_context_alone(point):
    (parameter,) = list(inspect.signature(point.load().build).parameters.values())[1:]
    assert parameter.annotation.strip('"').endswith("Context")


def test_every_context_is_frozen_and_by_keyword_alone():
    found = {each for each in contexts() if dataclasses.is_dataclass(each)}
    assert {"DataContext", "EngineContext", "RewardContext"} <= {each.__name__ for each in found}
    for each in found:
        assert each.__dataclass_params__.frozen, each
        assert all(field.kw_only for field in dataclasses.fields(each)), each

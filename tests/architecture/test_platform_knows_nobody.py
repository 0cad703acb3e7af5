"""No text in platform's source is the name of another package's component, stage or metric."""

import ast
import importlib
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.fast

OTHERS = ("llm", "sample", "sft", "rl", "minionerec")
NOT_COMPONENTS = ("config", "default_stage", "metric", "command")
OWN_WORDS = {
    "auto": "the devices that the other axes of a mesh leave",
    "bytes": "the key under which a msgpack file holds an array's content",
    "format": "the key under which a msgpack file names its layout",
    "jax": "the section of a config that every run has",
}
"""Words that platform means in a sense of its own, and that sense."""


def names_of_others(root: Path) -> set[str]:
    """Return the components and stages of the other packages, and what their metrics are recorded as."""
    names: set[str] = set()
    for package in OTHERS:
        text = (root / "packages" / package / "pyproject.toml").read_text(encoding="utf-8")
        for group, points in tomllib.loads(text)["project"].get("entry-points", {}).items():
            if group.removeprefix("burnish.") not in NOT_COMPONENTS:
                names |= set(points)
            if group == "burnish.metric":
                names |= {metric.name for value in points.values() for metric in named(value)}
    return names - set(OWN_WORDS)


def named(value: str):
    module, _, symbol = value.partition(":")
    return getattr(importlib.import_module(module), symbol)


def texts(file: Path) -> set[str]:
    """Return every text of a Python file and, whatever it means, every word of a YAML file."""
    content = file.read_text(encoding="utf-8")
    if file.suffix == ".yaml":
        words = yaml.safe_dump(yaml.safe_load(content)).replace("=", " ").replace("+", " ").replace(",", " ")
        return {word.strip(":.'\"") for word in words.split()}
    constants = (node for node in ast.walk(ast.parse(content)) if isinstance(node, ast.Constant))
    return {node.value for node in constants if isinstance(node.value, str)}


def known_names(source: Path, names: set[str]) -> dict[str, set[str]]:
    files = [*source.rglob("*.py"), *source.rglob("*.yaml")]
    return {file.name: found for file in files if (found := texts(file) & names)}


def test_platform_names_nothing_of_the_packages_above(root):
    names = names_of_others(root)
    assert {"tiny", "in_process", "sft", "rl", "eval", "train/loss", "reward/mean", "eval/accuracy"} <= names

    assert known_names(root / "packages" / "platform" / "src", names) == {}


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("runs/report.py", '\nACCURACY = "eval/accuracy"\n'),
        ("configuration/registry.py", '\nHOMES = {"engine": {"in_process": "somewhere"}}\n'),
        ("conf/train.yaml", "\nmore: stage=sft+rl\n"),
    ],
)
def test_twin_a_name_put_into_the_source_is_found(root, tmp_path, file, line):
    source = shutil.copytree(root / "packages" / "platform" / "src", tmp_path / "src")
    altered = source / "burnish" / "platform" / file
    with altered.open("a", encoding="utf-8") as stream:
        stream.write(line)

    assert list(known_names(source, names_of_others(root))) == [altered.name]


def test_words_of_its_own_are_still_names_of_others(root):
    text = "".join((root / "packages" / name / "pyproject.toml").read_text() for name in OTHERS)
    for word in OWN_WORDS:
        assert f"\n{word} = " in text, f"'{word}' needs no exception any more"

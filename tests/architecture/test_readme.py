"""The root README names files and rooms that are there."""

import re
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

PACKAGES = ("platform", "llm", "sample", "sft", "rl", "minionerec")
FILE = re.compile(r"`((?:platform|llm|sample|sft|rl|minionerec)/[\w/]+\.py)`")


def absent_files(root: Path, text: str) -> list[str]:
    """Return the files of packages that a text names and the sources lack."""
    return [
        name
        for name in FILE.findall(text)
        if not (root / "packages" / name.partition("/")[0] / "src" / "burnish" / name).is_file()
    ]


def absent_rooms(root: Path, text: str) -> list[str]:
    """Return the rooms and modules that the map names and the sources lack."""
    [block] = re.findall(r"```\n(platform   cli.*?)```", text, re.DOTALL)
    absent: list[str] = []
    package = ""
    for line in re.sub(r"\([^)]*\)", "", block).splitlines():
        words = line.replace("·", " ").split()
        package = words.pop(0) if words[0] in PACKAGES and not line.startswith(" ") else package
        source = root / "packages" / package / "src" / "burnish" / package
        absent += [
            f"{package}/{word}"
            for word in words
            if not (source / word if word.endswith("/") else source / f"{word}.py").exists()
        ]
    return absent


def test_reading_order_names_files_that_exist(root):
    text = (root / "README.md").read_text(encoding="utf-8")

    assert len(FILE.findall(text)) >= 10
    assert absent_files(root, text) == []
    assert absent_files(root, text.replace("platform/cli.py", "platform/door.py")) == ["platform/door.py"]


def test_map_names_rooms_that_exist(root):
    text = (root / "README.md").read_text(encoding="utf-8")

    assert absent_rooms(root, text) == []
    assert absent_rooms(root, text.replace("· checkpoint/", "· storage/")) == ["platform/storage/"]


def test_commands_begin_where_there_is_no_uv(root):
    text = (root / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    of_uv = [block for block in blocks if "uv " in block]
    assert len(of_uv) >= 2
    assert all(block.startswith("pip install uv") for block in of_uv)


def missing_below(root, commands):
    """Return the packages of this repository that are needed and not installed before, by what needs them."""
    missing, installed = {}, set()
    for name in re.findall(r"\./packages/(\w+)", commands):
        project = tomllib.loads((root / "packages" / name / "pyproject.toml").read_text())["project"]
        needed = {
            found[1] for found in map(re.compile(r"burnish-(\w+)").match, project["dependencies"]) if found
        }
        if absent := needed - installed:
            missing[name] = absent
        installed.add(name)
    return missing


def test_packages_are_installed_from_a_clone_after_those_they_need(root):
    text = (root / "README.md").read_text(encoding="utf-8")
    (commands,) = (
        block for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "./packages/" in block
    )
    assert missing_below(root, commands) == {}
    assert missing_below(root, commands.replace("./packages/llm ", "")).keys() == {"sample", "sft", "rl"}

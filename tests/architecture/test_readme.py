"""The root README names files and rooms that are there."""

import re
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
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        assert block.startswith("pip install uv")

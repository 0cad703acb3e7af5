"""A private name of a module that nothing in the module uses is dead code, which linters let pass."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

_DEFINED = re.compile(r"^(?:def |class |async def )?(_[A-Za-z]\w*)\b(?= *[=:(\[])", re.MULTILINE)


def dead_names(text: str) -> list[str]:
    """Return the private names at the top of a module that occur once."""
    return [name for name in _DEFINED.findall(text) if len(re.findall(rf"\b{name}\b", text)) == 1]


def test_every_private_name_is_used(root: Path) -> None:
    folders = ("packages", "tests", ".ci", "benchmarks", "examples")
    files = [file for folder in folders for file in (root / folder).rglob("*.py")]
    assert len(files) > 300
    dead = {str(file): names for file in files if (names := dead_names(file.read_text(encoding="utf-8")))}
    assert dead == {}


def test_twin_a_name_that_is_not_is_found() -> None:
    assert dead_names("_LEFT = 3\n_USED = 4\nprint(_USED)\n\n\ndef _gone():\n    ...\n") == ["_LEFT", "_gone"]

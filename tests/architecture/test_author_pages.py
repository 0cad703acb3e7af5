"""The pages for authors quote names that exist and say something; `test_docs.py` runs what is on them."""

import importlib
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

PAGES = Path(__file__).resolve().parents[2] / "docs" / "authors"
NAMES = ("attention", "engine", "family", "reward", "sink", "stage")
REFERENCE = re.compile(r"^::: (burnish\.[\w.]+)$", re.MULTILINE)


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def test_there_is_a_page_for_each():
    assert sorted(file.stem for file in PAGES.glob("*.md")) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_names_a_page_quotes_exist_and_say_something(name):
    quoted = REFERENCE.findall(page(name))
    assert len(quoted) >= 4
    for path in quoted:
        module, _, symbol = path.rpartition(".")
        found = getattr(importlib.import_module(module), symbol)
        assert found.__doc__
        assert not found.__doc__.startswith(f"{symbol}("), path

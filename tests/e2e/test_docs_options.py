"""What the pages for those who come from another library say burnish has, it has."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish.platform import BurnishError, compose_config
from burnish.platform.configuration.describe import describe_path

PAGES = sorted((Path(__file__).resolve().parents[2] / "docs" / "coming-from").glob("*.md"))
ROW = re.compile(r"^\| (?P<other>.+?) \| (?P<burnish>.+?) \|", re.MULTILINE)
SPAN = re.compile(r"`([^`]+)`")


def named(text: str) -> Iterator[str]:
    """Yield what stands as code in the second column of the tables of a page."""
    for row in ROW.finditer(text):
        yield from SPAN.findall(row["burnish"])


@pytest.fixture(scope="module")
def default():
    return compose_config([])


def absent(spans: Iterator[str], config) -> list[str]:
    """Return the options, choices and presets that cannot be composed."""
    missing: list[str] = []
    for span in spans:
        try:
            if "=" in span:
                compose_config(span.split())
            else:
                list(describe_path(config, span))
        except BurnishError as error:
            missing.append(f"{span}: {error}")
    return missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_option_of_a_table_exists(page, default):
    spans = list(named(page.read_text(encoding="utf-8")))

    assert len(spans) > 15
    assert absent(iter(spans), default) == []


def test_twin_an_option_that_does_not_exist_is_found(default):
    table = "| TRL | burnish |\n|---|---|\n| `a` | `stages.rl.stepz`, `run.seed` |\n| `b` | `engine=vllm` |\n"
    found = absent(named(table), default)

    assert [line.partition(":")[0] for line in found] == ["stages.rl.stepz", "engine=vllm"]

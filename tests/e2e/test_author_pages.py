"""The pages for authors: their modules are complete, their commands run as they stand, their names exist."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = Path(__file__).resolve().parents[2] / "docs" / "authors"
NAMES = ("engine", "family", "reward", "sink", "stage")
MODULE = re.compile(r'^```python title="(\w+\.py)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
REFERENCE = re.compile(r"^::: (burnish\.[\w.]+)$", re.MULTILINE)


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def run_page(text: str, directory: Path, cache: Path) -> "subprocess.CompletedProcess[str]":
    """Write the modules of a page where its commands are then typed, as one script that stops at an error."""
    for name, source in MODULE.findall(text):
        (directory / name).write_text(source, encoding="utf-8")
    script = "set -e\n" + "".join(COMMANDS.findall(text))
    kept = {key: value for key, value in os.environ.items() if key != "JAX_NUM_CPU_DEVICES"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", script],
        cwd=directory,
        env={**kept, "PATH": path, "JAX_COMPILATION_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_there_is_a_page_for_each():
    assert sorted(file.stem for file in PAGES.glob("*.md")) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_of_a_page_run_with_its_module(name, tmp_path, compilation_cache):
    text = page(name)
    assert MODULE.search(text)
    assert COMMANDS.search(text)
    done = run_page(text, tmp_path, compilation_cache)

    assert done.returncode == 0, done.stdout + done.stderr
    expected = {"family": "logits (1, 5, 61)", "sink": "eval,0,0.0", "stage": "after eval", "reward": "brief"}
    assert expected.get(name, "accuracy") in done.stdout


def test_twin_a_page_whose_module_is_broken_fails(tmp_path, compilation_cache):
    text = page("sink").replace("def commit(self, row: Any, stats", "def commit(self, stats")
    done = run_page(text, tmp_path, compilation_cache)

    assert done.returncode == 2
    assert "has commit(stats), which cannot be called as Sink is" in done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_the_names_a_page_quotes_exist_and_say_something(name):
    quoted = REFERENCE.findall(page(name))
    assert len(quoted) >= 4
    for path in quoted:
        module, _, symbol = path.rpartition(".")
        found = getattr(importlib.import_module(module), symbol)
        assert found.__doc__
        assert not found.__doc__.startswith(f"{symbol}("), path

"""The commands, the Python and the YAML of every page of the docs run as they stand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/**/*.md"))


@pytest.fixture(scope="module")
def home(tmp_path_factory, compilation_cache):
    """A home of its own in which the programs of the other tests are compiled already."""
    directory = tmp_path_factory.mktemp("home")
    (directory / ".cache" / "burnish").mkdir(parents=True)
    (directory / ".cache" / "burnish" / "jax").symlink_to(compilation_cache)
    return directory


@pytest.mark.parametrize("page", PAGES)
def test_blocks_of_a_page_run(page, home):
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "docs_examples.py"), str(ROOT / page)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": str(home)},
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{page}: ran " in done.stdout

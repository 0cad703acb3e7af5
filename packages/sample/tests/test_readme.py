"""The README's example runs as it stands."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast


def test_readme_example_runs():
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(code, names)
    assert len(names["completion"].tokens) <= 8

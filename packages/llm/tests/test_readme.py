import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast


def test_the_example_of_the_readme_runs(capsys):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    exec(re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1], {})
    assert "(1, 10, 64)" in capsys.readouterr().out

"""The Python and the YAML of the root README run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_python_of_the_root_readme_runs(tmp_path):
    script = ROOT / ".ci" / "readme_examples.py"
    done = subprocess.run(
        [sys.executable, str(script), str(ROOT / "README.md")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "JAX_NUM_CPU_DEVICES"},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "ran 1 Python blocks" in done.stdout
    assert "sft" in done.stdout


def test_the_file_of_the_root_readme_is_a_config(command, tmp_path):
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "my.yaml").write_text(text, encoding="utf-8")
    status, printed, said = command("--dry-run", "my.yaml")
    assert (status, said) == (0, "")
    assert "stage sft" in printed
    assert "stage rl" in printed

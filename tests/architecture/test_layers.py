import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

JAX_FREE = (
    *(f"burnish.{package}.config" for package in ("platform", "llm", "sample", "sft", "rl")),
    *(f"burnish.platform.{module}" for module in ("component", "compose", "cli", "errors")),
    *(f"burnish.{package}" for package in ("platform", "llm", "sample", "sft", "rl", "minionerec")),
)


def lint_imports(root: Path, first_on_path: Path | None = None) -> "subprocess.CompletedProcess[str]":
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    environment = os.environ | ({"PYTHONPATH": str(first_on_path)} if first_on_path else {})
    return subprocess.run(command, cwd=root, env=environment, text=True, capture_output=True, check=False)


def test_imports_point_down_only(root):
    done = lint_imports(root)

    assert done.returncode == 0, done.stdout


def test_import_upwards_is_found(root, tmp_path):
    source = root / "packages" / "sft" / "src" / "burnish" / "sft"
    altered = shutil.copytree(source, tmp_path / "burnish" / "sft")
    with (altered / "config.py").open("a", encoding="utf-8") as stream:
        stream.write("\nimport burnish.rl\n")

    done = lint_imports(root, tmp_path)

    assert done.returncode == 1
    assert "burnish.sft.config -> burnish.rl" in done.stdout


@pytest.mark.parametrize("module", JAX_FREE)
def test_module_imports_nothing_heavy(tmp_path, module):
    code = (
        f"import sys, {module}; print(*sorted({{'jax', 'flax', 'transformers', 'torch'}} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, text=True, capture_output=True, check=True
    )

    assert done.stdout.split() == []

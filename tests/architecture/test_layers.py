import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("platform", "llm", "sample", "sft", "rl", "minionerec")


def jax_free_modules(root: Path, package: str) -> list[str]:
    """Return the package itself and every module of it that holds options or reads them."""
    source = root / "packages" / package / "src"
    files = [*source.rglob("config.py"), *source.rglob("config/*.py"), *source.rglob("configuration/*.py")]
    modules = [".".join(file.relative_to(source).with_suffix("").parts) for file in files]
    doors = ["burnish.platform.cli", "burnish.platform.errors"] if package == "platform" else []
    return [f"burnish.{package}", *doors, *sorted(module.removesuffix(".__init__") for module in modules)]


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


@pytest.mark.parametrize("package", PACKAGES)
def test_options_import_nothing_heavy(root, tmp_path, package):
    modules = jax_free_modules(root, package)
    heavy = "{'jax', 'flax', 'transformers', 'torch'}"
    code = f"import sys, {', '.join(modules)}; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, text=True, capture_output=True, check=True
    )

    assert done.stdout.split() == []

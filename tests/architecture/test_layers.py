import os
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

pytestmark = pytest.mark.fast

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


def in_circles(package: str) -> list[str]:
    """Return the modules that import themselves over others, lazily or for types alone though it may be."""
    graph = grimp.build_graph(package, cache_dir=None)
    imported = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}

    def reached(module: str) -> set[str]:
        found, left = set(), [module]
        while left:
            new = imported[left.pop()] - found
            found |= new
            left += new
        return found

    return sorted(module for module in imported if module in reached(module))


def test_modules_of_platform_import_in_no_circle():
    assert in_circles("burnish.platform") == []


def test_twin_a_circle_for_types_alone_is_found(tmp_path, monkeypatch):
    package = tmp_path / "burnish_circle"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "config.py").write_text("def build():\n    from burnish_circle.a import build\n")
    types_alone = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from burnish_circle.config import build\n"
    )
    (package / "a.py").write_text(types_alone)
    (package / "b.py").write_text("import burnish_circle.a\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert in_circles("burnish_circle") == ["burnish_circle.a", "burnish_circle.config"]

"""Wheels of this checkout, and clean environments with subsets of them, each made once per session."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PYPROJECT = """\
[project]
name = "{name}"
version = "2.5.0"
requires-python = ">=3.11"
dependencies = []
{entry_points}
[build-system]
requires = ["uv_build>=0.9,<0.14"]
build-backend = "uv_build"
[tool.uv.build-backend]
module-name = "{module}"
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment with nothing of the checkout on its path."""

    directory: Path
    home: Path

    @property
    def _jax(self) -> dict[str, str]:
        """Environments share what they compile: the programs are the same, and each is small."""
        return {
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(self.home / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }

    @property
    def python(self) -> Path:
        return self.directory / "bin" / "python"

    def run(self, command: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's own commands; the variables of this process's environment stay out."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return subprocess.run(
            [str(self.directory / "bin" / command), *arguments],
            cwd=cwd,
            env={**kept, **self._jax},
            text=True,
            capture_output=True,
            check=False,
        )

    def pip(self, *arguments: str) -> None:
        uv("pip", *arguments, "--quiet", "--python", str(self.python), cwd=self.home)

    def modules(self, cwd: Path) -> set[str]:
        """Return the portions of the namespace that can be imported here."""
        code = "import burnish, pkgutil; print(*(m.name for m in pkgutil.iter_modules(burnish.__path__)))"
        return set(self.run("python", "-c", code, cwd=cwd).stdout.split())


def uv(*arguments: str, cwd: Path) -> str:
    """Run uv; what it says is shown when it fails."""
    without_project = {
        name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "UV_LOCKED")
    }
    done = subprocess.run(
        ["uv", *arguments], cwd=cwd, env=without_project, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, f"uv {' '.join(arguments)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with a wheel of every package and of every plugin among the examples."""
    directory = tmp_path_factory.mktemp("wheels")
    uv("build", "--quiet", "--all-packages", "--no-sources", "--wheel", "--out-dir", str(directory), cwd=ROOT)
    for project in ROOT.glob("examples/*/pyproject.toml"):
        uv("build", "--quiet", "--no-sources", "--wheel", "--out-dir", str(directory), cwd=project.parent)
    return directory


@pytest.fixture(scope="session")
def environment(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Environment]:
    """Make an environment with the distributions named, third-party ones at the versions of the lock."""
    home = tmp_path_factory.mktemp("environments")
    constraints = home / "constraints.txt"
    exported = uv(
        *("export", "--frozen", "--quiet", "--all-packages", "--no-emit-workspace", "--no-hashes"), cwd=ROOT
    )
    constraints.write_text(exported, encoding="utf-8")
    made: dict[tuple[str, ...], Environment] = {}

    def make(*distributions: str) -> Environment:
        if distributions not in made:
            found = Environment(home / "-".join(distributions).replace("burnish-", ""), home)
            uv("venv", "--quiet", "--python", sys.executable, str(found.directory), cwd=home)
            found.pip("install", "--find-links", str(wheels), "-c", str(constraints), *distributions)
            made[distributions] = found
        return made[distributions]

    return make


@pytest.fixture
def rival_wheel(tmp_path: Path) -> Callable[[str, dict[str, str]], Path]:
    """Build the wheel of a distribution from its name, its entry points and the text of its files."""

    def build(name: str, files: dict[str, str], **entry_points: str) -> Path:
        module = name.replace("-", "_")
        project = tmp_path / name
        groups = [f'[project.entry-points."burnish.{slot}"]\n{line}' for slot, line in entry_points.items()]
        texts = {
            "pyproject.toml": PYPROJECT.format(name=name, module=module, entry_points="\n".join(groups)),
            f"src/{module}/__init__.py": "",
            **{f"src/{module}/{path}": text for path, text in files.items()},
        }
        for path, text in texts.items():
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text(text, encoding="utf-8")
        uv("build", "--quiet", "--wheel", "--out-dir", str(tmp_path / "dist"), cwd=project)
        return next((tmp_path / "dist").glob(f"{module}-*.whl"))

    return build

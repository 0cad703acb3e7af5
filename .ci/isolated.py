"""Test one package in an environment that holds only what it declares.

Fails when a sibling it does not declare can be imported, when its tests fail, or when an example of its
README does. Run it as `uv run --isolated --package burnish-<package> .ci/isolated.py <package>`;
options of pytest may follow.
"""

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def declared(name: str) -> set[str]:
    """Return the packages that one may import: itself and, all the way down, what it depends on."""
    text = (ROOT / "packages" / name / "pyproject.toml").read_text(encoding="utf-8")
    dependencies = tomllib.loads(text)["project"]["dependencies"]
    siblings = [each.split(">")[0].removeprefix("burnish-") for each in dependencies if "burnish-" in each]
    return {name}.union(*map(declared, siblings))


def strangers(name: str) -> list[str]:
    """Return the importable packages that this one does not declare."""
    members = [file.parent.name for file in sorted(ROOT.glob("packages/*/pyproject.toml"))]
    undeclared = [member for member in members if member not in declared(name)]
    return [member for member in undeclared if importlib.util.find_spec(f"burnish.{member}")]


def main(name: str, *options: str) -> int:
    """Run the three checks, each whatever the others say; return 1 when one fails."""
    package = ROOT / "packages" / name
    leaked = strangers(name)
    print(f"{name} declares {sorted(declared(name) - {name})}; importable beside them: {leaked}", flush=True)
    command = [sys.executable, "-m", "pytest", *options, str(package)]
    tests = subprocess.run(command, cwd=ROOT, check=False)
    examples = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "readme_examples.py"), str(package / "README.md")], check=False
    )
    return bool(leaked or tests.returncode or examples.returncode)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

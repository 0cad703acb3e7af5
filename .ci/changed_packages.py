"""Print, as JSON, the packages that changed since a commit and those that depend on them.

A change outside `packages/` and documents concerns all of them. Under GitHub Actions the list becomes the
output `packages`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from workspace import ROOT, Package, needed_by, packages

SHARED = ("pyproject.toml", "uv.lock", ".python-version", ".ci/", ".github/")


def affected(paths: Iterable[str], members: dict[str, Package]) -> list[str]:
    """Return the names of the packages that a change of these paths concerns, in the order of members."""
    changed = set()
    for path in paths:
        if path.startswith(SHARED):
            changed.update(members)
        elif path.startswith("packages/"):
            changed.add(path.split("/")[1])
    return [name for name in members if changed & {name, *needed_by(name, members)}]


def changed_paths(base: str) -> list[str]:
    """Return the paths that differ from a commit; every tracked one where it is not known here."""
    command = ["git", "diff", "--name-only", f"{base}...HEAD"]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    if done.returncode:
        print(f"{base} is no commit here: all packages count as changed", file=sys.stderr)
        done = subprocess.run(["git", "ls-files"], cwd=ROOT, text=True, capture_output=True, check=True)
    return done.stdout.splitlines()


def main() -> None:
    """Print the list, and hand it to GitHub Actions where that runs."""
    names = json.dumps(affected(changed_paths(sys.argv[1]), packages()))
    print(names)
    if "GITHUB_OUTPUT" in os.environ:
        with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as stream:
            stream.write(f"packages={names}\n")


if __name__ == "__main__":
    main()

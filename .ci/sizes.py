"""Fail when a file, class, function or parameter list is longer than the style allows.

`sizes_allowed.txt` holds the exceptions, `path::name kind size` a line. That list may only shrink: an entry
that grew, that fits by now or that names nothing fails as well.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMITS = {"file": 300, "class": 200, "function": 40, "parameters": 5}
HARD_LIMITS = {"file": 500, "class": 200, "function": 60, "parameters": 5}
ALLOWED = ROOT / ".ci" / "sizes_allowed.txt"


def sizes(path: str) -> Iterator[tuple[str, str, int]]:
    """Yield (name, kind, size) of all that is counted in one file."""
    text = (ROOT / path).read_text(encoding="utf-8")
    yield path, "file", len(text.splitlines())
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        name = f"{path}::{node.name}:{node.lineno}"
        yield name, "class" if isinstance(node, ast.ClassDef) else "function", lines
        if not isinstance(node, ast.ClassDef) and "/tests/" not in f"/{path}":
            names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args)]
            yield name, "parameters", len([arg for arg in names if arg not in ("self", "cls")])


def main() -> int:
    """Print each violation; return 1 when there is one."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, text=True, capture_output=True, check=True)
    allowed = {}
    for line in ALLOWED.read_text(encoding="utf-8").splitlines():
        name, kind, size = line.split()
        allowed[name, kind] = int(size)
    problems = []
    paths = [path for path in listed.stdout.splitlines() if (ROOT / path).exists()]
    for name, kind, size in (found for path in paths for found in sizes(path)):
        key = (name.rsplit(":", 1)[0] if "::" in name else name, kind)
        limit = min(allowed.pop(key, LIMITS[kind]), HARD_LIMITS[kind])
        if size > limit:
            problems.append(f"{name}: {kind} has {size}, the limit is {limit}")
    problems += [f"{name}: its {kind} exception is not needed; remove it" for name, kind in allowed]
    print("\n".join(problems) or f"{len(paths)} files are within the limits {LIMITS}")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())

"""Fail when a file, class, function or parameter list is longer than the style allows.

`sizes_allowed.txt` holds the exceptions, `path::name kind size` a line. That list may only shrink: an entry
that grew, that fits by now or that names nothing fails as well.
"""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMITS = {"file": 300, "class": 200, "function": 40, "parameters": 5}
HARD_LIMITS = {"file": 500, "class": 200, "function": 60, "parameters": 5}
ALLOWED = ROOT / ".ci" / "sizes_allowed.txt"


def sizes(path: str, root: Path = ROOT) -> Iterator[tuple[str, str, int]]:
    """Yield (name, kind, size) of all that is counted in one file."""
    text = (root / path).read_text(encoding="utf-8")
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


def problems(found: Iterable[tuple[str, str, int]], allowed: dict[tuple[str, str], int]) -> list[str]:
    """Return one line for each size over its limit and for each exception that is not needed."""
    unused, lines = dict(allowed), []
    for name, kind, size in found:
        key = (name.rsplit(":", 1)[0] if "::" in name else name, kind)
        if size <= LIMITS[kind]:
            continue
        limit = min(unused.pop(key, LIMITS[kind]), HARD_LIMITS[kind])
        if size > limit:
            lines.append(f"{name}: {kind} has {size}, the limit is {limit}")
    return lines + [f"{name}: its {kind} exception is not needed; remove it" for name, kind in unused]


def main() -> int:
    """Print each violation; return 1 when there is one."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    listed = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True)
    paths = [path for path in listed.stdout.splitlines() if (ROOT / path).exists()]
    entries = [line.split() for line in ALLOWED.read_text(encoding="utf-8").splitlines()]
    allowed = {(name, kind): int(size) for name, kind, size in entries}
    found = problems((size for path in paths for size in sizes(path)), allowed)
    print("\n".join(found) or f"{len(paths)} files are within the limits {LIMITS}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

"""Fail when an option that a user can set is read by no source file.

An option is a field of a dataclass in a `config.py` or `config/`; a `ClassVar` is none. It counts as
read where an attribute of its name is loaded outside `__post_init__`, which validates and does not act.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

ROOT = Path(__file__).resolve().parent.parent


def is_dataclass(node: ast.ClassDef) -> bool:
    """Return whether a decorator of the class is called dataclass."""
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


def is_option(line: ast.stmt) -> TypeGuard[ast.AnnAssign]:
    """Return whether a line of a dataclass is a field; a `ClassVar` is a fact that nobody sets."""
    return isinstance(line, ast.AnnAssign) and not ast.unparse(line.annotation).startswith("ClassVar")


def options(file: Path, root: Path) -> Iterator[tuple[str, str]]:
    """Yield (place, field) for every dataclass field of a config module."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and is_dataclass(node):
            for line in node.body:
                if is_option(line):
                    name = ast.unparse(line.target)
                    yield f"{file.relative_to(root)}:{line.lineno}: {node.name}.{name}", name


def reads(node: ast.AST) -> Iterator[str]:
    """Yield every attribute name loaded below a node, `__post_init__` left out."""
    if isinstance(node, ast.FunctionDef) and node.name == "__post_init__":
        return
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        yield node.attr
    for child in ast.iter_child_nodes(node):
        yield from reads(child)


def unread(root: Path) -> tuple[list[str], int]:
    """Return the place of every option that no source file below a root reads, and how many there are."""
    sources = sorted(root.glob("packages/*/src/**/*.py"))
    read = {name for file in sources for name in reads(ast.parse(file.read_text(encoding="utf-8")))}
    configs = [file for file in sources if file.name == "config.py" or file.parent.name == "config"]
    found = [option for file in configs for option in options(file, root)]
    return [f"{place} is read by no source file" for place, name in found if name not in read], len(found)


def main() -> int:
    """Print every option nobody reads; return 1 when there is one."""
    found, count = unread(ROOT)
    print("\n".join(found) or f"all {count} options are read")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

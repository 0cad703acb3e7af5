"""The docstrings below the fields of a dataclass, which only its source has."""

import ast
import inspect
import textwrap
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Any


@cache
def docs_of(component: type[Any]) -> Mapping[str, str]:
    """Return the docstring below each field of a dataclass, those of its bases included; "" is none."""
    found: dict[str, str] = {}
    for base in reversed(component.__mro__[:-1]):
        try:
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        except (OSError, TypeError, SyntaxError):  # made without a source file
            continue
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for field, after in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                found[field.target.id] = _text(after)
    return found


def _text(statement: ast.stmt) -> str:
    """Return the text that a statement is, "" where it is none."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return inspect.cleandoc(text)
        case _:
            return ""

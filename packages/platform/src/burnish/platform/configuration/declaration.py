"""How a protocol declares a member: its `def` line as text, and where that stands."""

import ast
import inspect
import textwrap
from pathlib import Path
from typing import Any, NamedTuple


class Declaration(NamedTuple):
    """One member of a protocol, as an author has to write it."""

    text: str
    """`def update_weights(self, weights: Weights) -> None`."""
    place: str
    """`burnish/sample/engine.py:30`; the module where the source is not at hand."""

    def __str__(self) -> str:
        """Return both, as messages say them."""
        return f"`{self.text}` ({self.place})"


def declaration_of(protocol: type[Any], member: str) -> Declaration:
    """Return the declaration of a member that a protocol, or a dataclass, has or inherits."""
    owner = next((one for one in protocol.__mro__ if _declares(one, member)), protocol)
    try:
        lines, first = inspect.getsourcelines(owner)
        file = inspect.getsourcefile(owner) or ""
    except (OSError, TypeError):
        return Declaration(member, owner.__module__)
    [tree] = ast.parse(textwrap.dedent("".join(lines))).body
    for node in getattr(tree, "body", ()):
        if _name(node) == member:
            return Declaration(_text(node), f"{_short(file, owner)}:{first + node.lineno - 1}")
    return Declaration(member, f"{_short(file, owner)}:{first}")


def _declares(owner: type[Any], member: str) -> bool:
    return member in vars(owner) or member in vars(owner).get("__annotations__", {})


def _name(node: ast.stmt) -> str | None:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name
        case ast.AnnAssign(target=ast.Name(id=name)):
            return name
        case _:
            return None


def _text(node: ast.stmt) -> str:
    """Return a function without its body, or an attribute without its value, on one line."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        is_property = any(ast.unparse(each).endswith("property") for each in node.decorator_list)
        node.body, node.decorator_list = [ast.Pass()], []
        line = ast.unparse(node).partition("\n")[0].rstrip(":")
        return f"@property {line}" if is_property else line
    if isinstance(node, ast.AnnAssign):
        node.value = None
    return ast.unparse(node)


def _short(file: str, owner: type[Any]) -> str:
    """Return a file by the path of its module, as every installation has it."""
    return "/".join(Path(file).parts[-len(owner.__module__.split(".")) :])

"""Every remedy that a message names is followed by a test: `remedies.txt` says by which, or why by none.

A remedy is what a text of the sources says from its first imperative on. A line of the list is the module,
the remedy's first words, and a test's file and name, or `untried:` and the reason.
"""

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

REMEDY = re.compile(
    r"(?:^|[;:,(] | or )(?:add|ask|call|check|choose|collect|copy|delete|did you mean|give|go on|import|"
    r"install|keep|leave|look|lower|make|mend|name|pip install|put|raise|rename|restore|save|set|shorten|"
    r"start|take|train --help|uninstall|use|wait for|write)\b"
)
WORDS = 60
"""Characters of a remedy that the list holds."""


def texts(tree):
    """Yield the texts of a module but for docstrings, with `{}` for what is put in."""
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in ast.walk(node) if part is not node}
    for node in (node for node in ast.walk(tree) if id(node) not in skipped):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value


def remedies(text):
    """Return what the messages of a module say is to be done."""
    found = ((said, REMEDY.search(said)) for said in texts(ast.parse(text)))
    return {said[match.start() :].lstrip(";:,( ")[:WORDS].strip() for said, match in found if match}


def listed(root):
    """Return the lines of the list: (module, remedy) and what tries it."""
    lines = (root / "tests/architecture/remedies.txt").read_text(encoding="utf-8").splitlines()
    return {tuple(line.split(" | ")[:2]): line.split(" | ")[2] for line in lines}


def test_every_remedy_is_listed(root: Path):
    sources = sorted(root.glob("packages/*/src/burnish/**/*.py"))
    names = {path: path.as_posix().partition("/src/burnish/")[2] for path in sources}
    there = {
        (name, said) for path, name in names.items() for said in remedies(path.read_text(encoding="utf-8"))
    }
    assert there == listed(root).keys()


def test_every_test_of_the_list_is_there(root: Path):
    for remedy, trial in listed(root).items():
        file, _, name = trial.partition("::")
        if file.startswith("untried: "):
            continue
        assert f"def {name}(" in (root / file).read_text(encoding="utf-8"), remedy


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('raise E(f"x={x} is wrong; set x to {y}")', {"set x to {}"}),
        ('raise E("no such file: name another")', {"name another"}),
        ('raise E("x is wrong; legal: 1 or more")', set()),
        ('"""Say it; set x."""', set()),
    ],
)
def test_a_remedy_is_found_in_a_message(text, found):
    assert remedies(text) == found

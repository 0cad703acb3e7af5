"""Examples, plugins and the blocks of pages import what packages promise, and nothing else."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

PINNED = Path(__file__).with_name("public_names.txt").read_text(encoding="utf-8").splitlines()
MODULES = {line.partition("(")[0].rpartition(".")[0] for line in PINNED}
BLOCK = re.compile(r"^```python\b([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TEST = 'title="test_'
"""What marks a block as a file of tests."""

PROMISED = {module: set(importlib.import_module(module).__all__) for module in MODULES}
OF_TESTS = {f"{module}.testing" for module in MODULES} | {
    "burnish.llm.testing_attention",
    "burnish.llm.testing_family",
}


def imported(tree: ast.AST) -> Iterator[tuple[str, str | None]]:
    """Yield the module and, where one is taken from it, the name: imported, or an attribute of a package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "burnish":
            yield from ((f"burnish.{alias.name}", None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in PROMISED:
            yield ast.unparse(node.value), node.attr


def unpromised(source: str, *, is_test: bool = False) -> list[str]:
    """Return what a piece of Python takes from burnish although no package promises it."""
    found = [(module, name) for module, name in imported(ast.parse(source)) if module.startswith("burnish.")]
    return [
        module if name is None else f"{module}: {name}"
        for module, name in found
        if not (is_test and module in OF_TESTS)
        and (module not in PROMISED or (name is not None and name not in PROMISED[module]))
    ]


def sources(root: Path) -> dict[str, str]:
    """Return the examples and the Python blocks of the READMEs, by where they stand."""
    readmes = [root / "README.md", *root.glob("packages/*/README.md"), *root.glob("examples/**/README.md")]
    readmes += root.glob("docs/**/*.md")
    files = {str(file.relative_to(root)): file.read_text("utf-8") for file in root.glob("examples/**/*.py")}
    blocks = {str(file.relative_to(root)): BLOCK.findall(file.read_text("utf-8")) for file in readmes}
    texts: dict[str, str] = {}
    for where, found in blocks.items():
        texts[where] = "\n".join(text for info, text in found if TEST not in info)
        texts[f"{where}/tests/"] = "\n".join(text for info, text in found if TEST in info)
    return files | texts


def test_examples_and_readmes_import_public_names_alone(root):
    found = sources(root)

    assert {"examples/rl_loop.py", "README.md", "packages/rl/README.md", "docs/authors/stage.md"} <= set(
        found
    )
    assert "import burnish.platform" in found["docs/start/first-run.md"]
    assert {
        where: names
        for where, text in found.items()
        if (names := unpromised(text, is_test="/tests/" in where))
    } == {}


@pytest.mark.parametrize(
    ("public", "private", "reported"),
    [
        (
            "from burnish.rl import AdvantageContext,",
            "from burnish.rl.groups import ",
            "burnish.rl.groups: Group",
        ),
        ("from burnish.rl import ", "from burnish.rl import Accounting, ", "burnish.rl: Accounting"),
        (
            "from burnish.rl import ",
            "import burnish.rl.batches\nfrom burnish.rl import ",
            "burnish.rl.batches",
        ),
        ("from burnish.rl import ", "from burnish import cli\nfrom burnish.rl import ", "burnish.cli"),
    ],
)
def test_twin_an_import_of_what_is_not_promised_is_found(root, public, private, reported):
    text = sources(root)["packages/rl/README.md"]
    assert public in text
    assert unpromised(text.replace(public, private))[0] == reported


def test_twin_an_attribute_that_is_not_promised_is_found(root):
    text = sources(root)["README.md"]
    assert unpromised(text.replace("burnish.platform.run(", "burnish.platform.runs(")) == [
        "burnish.platform: runs"
    ]


def test_twin_testing_is_for_tests():
    source = "from burnish.platform.testing import call_train"
    assert unpromised(source, is_test=True) == []
    assert unpromised(source) == ["burnish.platform.testing: call_train"]

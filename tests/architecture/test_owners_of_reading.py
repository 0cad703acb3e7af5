"""What reads models, tokenizers and checkpoints is used by the modules that own it, and nowhere else."""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

OWNERS = {
    "from_pretrained": {"llm/huggingface_tokenizer.py", "llm/testing_family.py"},
    "snapshot_download": {"llm/model_source.py"},
    "safetensors": {"llm/safetensors_files.py", "llm/weights.py"},
    "safe_open": {"llm/safetensors_files.py"},
    "open_tensors": {"llm/safetensors_files.py", "llm/weights.py"},
    "load_huggingface": {"llm/weights.py", "llm/pretrained.py", "llm/testing.py"},
    "read_tree": {"platform/checkpoint/step_directory.py", "llm/checkpoint_params.py"},
    "load_checkpoint": {"llm/checkpoint_params.py", "llm/pretrained.py"},
    "orbax": {"platform/checkpoint/orbax.py"},
    "msgpack": {"platform/checkpoint/msgpack.py"},
}
"""A library by the name it is imported by, or a function, and the modules that use it."""
LIBRARIES = {"safetensors", "orbax", "msgpack"}


def uses(file: Path) -> set[str]:
    """Return what of the table a module imports, defines or calls, lazily or by a text though it may be."""
    return {name for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) for name in named(node)}


def named(node: ast.AST) -> Iterator[str]:
    """Yield the names of the table that a node of the syntax tree stands for."""
    match node:
        case ast.Import(names=names):
            yield from libraries([each.name for each in names])
        case ast.ImportFrom(module=module, level=0, names=names):
            yield from libraries([module or ""])
            yield from {each.name for each in names} & (OWNERS.keys() - LIBRARIES)
        case ast.Call(func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"), args=args):
            yield from libraries([str(each.value) for each in args if isinstance(each, ast.Constant)])
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.FunctionDef(name=name):
            yield from {name} & (OWNERS.keys() - LIBRARIES)


def libraries(modules: list[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules} & LIBRARIES


def users(source: Path) -> dict[str, set[str]]:
    """Return the modules below a directory of packages that use each thing of the table."""
    found: dict[str, set[str]] = {name: set() for name in OWNERS}
    for file in source.glob("*/src/burnish/**/*.py"):
        for name in uses(file):
            found[name].add(file.as_posix().partition("/src/burnish/")[2])
    return found


def test_each_reader_is_used_by_its_owners_and_by_nobody_else(root):
    assert users(root / "packages") == OWNERS


@pytest.mark.parametrize(
    ("module", "line", "name"),
    [
        ("sft/loop.py", "\nfrom safetensors.numpy import load_file\n", "safetensors"),
        ("rl/loop.py", "\n\ndef own():\n    import safetensors\n", "safetensors"),
        ("sample/workbench.py", "\nimport orbax.checkpoint as ocp\n", "orbax"),
        (
            "rl/stage.py",
            "\nfrom importlib import import_module\nocp = import_module('orbax.checkpoint')\n",
            "orbax",
        ),
        (
            "llm/jax_training.py",
            "\nfrom burnish.platform.checkpoint.step_directory import read_tree\n",
            "read_tree",
        ),
        (
            "rl/stage.py",
            "\nfrom burnish.platform.checkpoint import step_directory as s\ns.read_tree()\n",
            "read_tree",
        ),
        ("sample/engine.py", "\nmodel = transformers.AutoModel.from_pretrained('x')\n", "from_pretrained"),
        (
            "llm/received.py",
            "\nfrom burnish.llm import weights\nread = weights.load_huggingface\n",
            "load_huggingface",
        ),
    ],
)
def test_twin_a_reader_that_is_used_elsewhere_is_found(root, tmp_path, module, line, name):
    package = module.partition("/")[0]
    text = (root / "packages" / package / "src" / "burnish" / module).read_text(encoding="utf-8")
    altered = tmp_path / "packages" / package / "src" / "burnish" / module
    altered.parent.mkdir(parents=True)
    altered.write_text(text + line, encoding="utf-8")

    assert module not in OWNERS[name]
    assert users(tmp_path / "packages")[name] == {module}


def test_twin_an_owner_that_reads_no_more_is_found(root, tmp_path):
    source = shutil.copytree(root / "packages" / "llm", tmp_path / "packages" / "llm")
    (source / "src" / "burnish" / "llm" / "safetensors_files.py").write_text("", encoding="utf-8")

    assert "llm/safetensors_files.py" not in users(tmp_path / "packages")["safe_open"]

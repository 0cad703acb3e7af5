"""Public names and their parameters, as `public_names.txt` has them. What changes there changes for users."""

import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

PACKAGES = ("llm", "minionerec", "platform", "rl", "sample", "sft")
PINNED = Path(__file__).parent / "public_names.txt"


def described(name: str, value: object) -> str:
    """Return a name with its parameters; annotations and default values are left to the type checker."""
    if not callable(value) or (inspect.isclass(value) and issubclass(value, Exception)):
        return name
    words: list[str] = []
    for parameter in inspect.signature(value).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        words.append(f"{star}{parameter.name}{'' if parameter.default is parameter.empty else '=...'}")
    return f"{name}({', '.join(words)})"


def test_public_names_and_parameters_are_the_pinned_ones():
    found = []
    for package in PACKAGES:
        module = importlib.import_module(f"burnish.{package}")
        names = sorted(getattr(module, "__all__", []))
        found += [described(f"burnish.{package}.{name}", getattr(module, name)) for name in names]

    assert found == PINNED.read_text(encoding="utf-8").splitlines()


def test_parameter_that_loses_its_default_is_noticed():
    def before(path, *, dry_run=False): ...

    def after(path, *, dry_run): ...

    assert described("f", before) == "f(path, *, dry_run=...)"
    assert described("f", after) != described("f", before)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_public_name_is_a_module_of_its_package(package):
    """Importing such a module would put it in the place of what the name promises."""
    module = importlib.import_module(f"burnish.{package}")
    modules = {found.name for found in pkgutil.iter_modules(module.__path__)}
    assert not modules & set(getattr(module, "__all__", ()))

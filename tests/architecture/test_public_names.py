"""Public names and their parameters, as `public_names.txt` has them. What changes there changes for users."""

import importlib
import inspect
import pkgutil
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

PACKAGES = ("llm", "llm.families", "llm.families.broadcast", "minionerec", "platform", "rl", "sample", "sft")
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
def test_package_lists_twenty_names_at_most_and_nothing_else_is_found(package):
    module = importlib.import_module(f"burnish.{package}")
    assert 1 <= len(module.__all__) <= 20
    assert len(set(module.__all__)) == len(module.__all__)
    for name in ("annotations", "no_such_name"):
        with pytest.raises(AttributeError, match=name):
            getattr(module, name)


def contexts() -> set[str]:
    """Return the names of what our components are built from: whoever writes another has to import them."""
    groups = [group for group in entry_points().groups if group.startswith("burnish.")]
    found = [point.load() for group in groups for point in entry_points(group=group)]
    builds = [component.build for component in found if hasattr(component, "build")]
    annotations = [
        each.annotation for build in builds for each in inspect.signature(build).parameters.values()
    ]
    words = {str(getattr(annotation, "__name__", annotation)).strip('"') for annotation in annotations}
    return {word for word in words if word.endswith("Context")}


def test_context_of_every_slot_is_public_but_one():
    """Twenty names do not hold them all; a checkpoint backend is the rarest of components."""
    public = {name for package in PACKAGES for name in importlib.import_module(f"burnish.{package}").__all__}
    assert len(contexts()) >= 10
    assert contexts() - public == {"CheckpointContext"}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_public_name_is_a_module_of_its_package(package):
    """Importing such a module would put it in the place of what the name promises."""
    module = importlib.import_module(f"burnish.{package}")
    modules = {found.name for found in pkgutil.iter_modules(getattr(module, "__path__", ()))}
    assert not modules & set(getattr(module, "__all__", ()))

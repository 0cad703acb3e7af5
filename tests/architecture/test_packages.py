import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

PACKAGES = ("platform", "llm", "sample", "sft", "rl", "minionerec")


def project(root: Path, package: str) -> dict:
    text = (root / "packages" / package / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]


def test_workspace_has_the_six_packages(root):
    found = {file.parent.name for file in root.glob("packages/*/pyproject.toml")}

    assert found == set(PACKAGES)


def test_namespace_has_no_module_of_its_own(root):
    assert not list(root.glob("packages/*/src/burnish/*.py"))
    assert not list(root.glob("packages/*/src/burnish/py.typed"))


@pytest.mark.parametrize("package", PACKAGES)
def test_package_has_what_a_distribution_needs(root, package):
    directory = root / "packages" / package
    portion = directory / "src" / "burnish" / package
    license = (root / "LICENSE").read_text(encoding="utf-8")

    assert [path.name for path in (directory / "src" / "burnish").iterdir()] == [package]
    assert (portion / "py.typed").is_file()
    assert (portion / "__init__.py").read_text(encoding="utf-8").startswith('"""')
    assert (directory / "CHANGELOG.md").is_file()
    assert (directory / "LICENSE").read_text(encoding="utf-8") == license
    assert project(root, package)["license"] == "Apache-2.0"
    assert project(root, package)["requires-python"] == ">=3.11"
    assert version(f"burnish-{package}") == project(root, package)["version"]


@pytest.mark.parametrize("package", PACKAGES)
def test_readme_says_what_the_package_owns_and_refuses_and_has_an_example(root, package):
    text = (root / "packages" / package / "README.md").read_text(encoding="utf-8")

    assert text.startswith(f"# burnish-{package}\n")
    for words in ("owns", "refuses", "entry points", "```python"):
        assert words in text.lower()


def test_root_readme_has_both_commands(root):
    text = (root / "README.md").read_text(encoding="utf-8")

    assert "uv run train" in text
    assert "uv run pytest" in text


def declared_entry_points(root: Path) -> dict[tuple[str, str], str]:
    return {
        (group, name): value
        for package in PACKAGES
        for group, points in project(root, package).get("entry-points", {}).items()
        for name, value in points.items()
    }


def test_every_entry_point_loads_and_belongs_to_its_package(root):
    for (group, name), value in declared_entry_points(root).items():
        [installed] = entry_points(group=group, name=name)
        assert installed.value == value
        assert installed.load() is not None


def test_no_name_is_declared_twice_in_a_slot(root):
    count = sum(
        len(points)
        for package in PACKAGES
        for points in project(root, package).get("entry-points", {}).values()
    )

    assert len(declared_entry_points(root)) == count


def test_scripts_belong_to_platform_alone(root):
    with_scripts = [package for package in PACKAGES if "scripts" in project(root, package)]

    assert with_scripts == ["platform"]
    assert set(project(root, "platform")["scripts"]) == {"train", "burnish"}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_named_after_what_it_has_no_name_for(root, package):
    vague = {"utils", "helpers", "common", "misc", "base"}
    names = {path.stem for path in (root / "packages" / package / "src").rglob("*.py")}

    assert not names & vague


def test_minimal_plugin_is_no_member_of_the_workspace(root):
    workspace = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"][
        "workspace"
    ]

    assert workspace["members"] == ["packages/*"]
    assert "burnish-minimal-plugin" not in (root / "uv.lock").read_text(encoding="utf-8")

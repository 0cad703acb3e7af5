"""The checks of `.ci/` find what they are for."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

LONG_FUNCTION = "def f():\n" + "    x = 1\n" * 40
MANY_PARAMETERS = "def f(a, b, c, d, e, g): ...\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (LONG_FUNCTION, "x.py::f:1: function has 41, the limit is 40"),
        (MANY_PARAMETERS, "x.py::f:1: parameters has 6, the limit is 5"),
        ("x = 1\n" * 301, "x.py: file has 301, the limit is 300"),
        ("class A:\n" + "    x = 1\n" * 200, "x.py::A:1: class has 201, the limit is 200"),
    ],
)
def test_size_over_its_limit_is_found(ci_script, tmp_path, text, problem):
    (tmp_path / "x.py").write_text(text, encoding="utf-8")
    sizes = ci_script("sizes")

    assert sizes.problems(sizes.sizes("x.py", tmp_path), {}) == [problem]


def test_size_within_its_limit_passes(ci_script, tmp_path):
    (tmp_path / "x.py").write_text(
        LONG_FUNCTION[:-10] + "def g(a, b, c, d, e, *, f): ...\n", encoding="utf-8"
    )
    sizes = ci_script("sizes")

    assert sizes.problems(sizes.sizes("x.py", tmp_path), {}) == []


def test_exception_holds_up_to_its_size_and_must_be_needed(ci_script):
    sizes = ci_script("sizes")
    allowed = {("x.py::f", "function"): 45}

    assert sizes.problems([("x.py::f:1", "function", 45)], allowed) == []
    assert sizes.problems([("x.py::f:1", "function", 46)], allowed) == [
        "x.py::f:1: function has 46, the limit is 45"
    ]
    assert sizes.problems([("x.py::f:1", "function", 30)], allowed) == [
        "x.py::f: its function exception is not needed; remove it"
    ]
    assert sizes.problems([("x.py::f:1", "function", 61)], {("x.py::f", "function"): 99}) == [
        "x.py::f:1: function has 61, the limit is 60"
    ]


def test_sizes_of_this_checkout_are_within_the_limits(ci_script, capsys):
    assert ci_script("sizes").main() == 0, capsys.readouterr().out


def write_member(root: Path, name: str, version: str, *dependencies: str) -> None:
    directory = root / "packages" / name
    directory.mkdir(parents=True)
    text = (
        f'[project]\nname = "burnish-{name}"\nversion = "{version}"\ndependencies = {list(dependencies)!r}\n'
    )
    (directory / "pyproject.toml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("version", "bounds", "is_right"),
    [
        ("0.1.0", ">=0.1,<0.2", True),
        ("0.1.7", ">=0.1,<0.2", True),
        ("0.2.0", ">=0.1,<0.2", False),
        ("0.1.0", ">=0.1", False),
        ("0.1.0", "", False),
        ("1.3.0", ">=1.3,<2", True),
    ],
)
def test_sibling_bounds_follow_the_siblings_version(ci_script, tmp_path, version, bounds, is_right):
    write_member(tmp_path, "platform", version)
    write_member(tmp_path, "llm", "0.1.0", f"burnish-platform{bounds}", "numpy>=2")
    script, members = ci_script("sibling_bounds"), ci_script("workspace").packages(tmp_path)

    assert (script.problems(members) == []) is is_right


def test_change_concerns_the_packages_that_depend_on_it(ci_script):
    affected, members = ci_script("changed_packages").affected, ci_script("workspace").packages()

    assert affected(["packages/rl/src/burnish/rl/loop.py"], members) == ["rl"]
    assert affected(["packages/llm/README.md"], members) == ["llm", "rl", "sample", "sft"]
    assert affected(["packages/platform/pyproject.toml"], members) == sorted(members)
    assert affected(["uv.lock"], members) == sorted(members)
    assert affected(["docs/index.md", "README.md"], members) == []


def test_option_that_only_its_check_reads_counts_as_unread(ci_script, tmp_path):
    source = tmp_path / "packages" / "x" / "src" / "burnish" / "x"
    source.mkdir(parents=True)
    (source / "config.py").write_text(
        "@dataclass\nclass A:\n    read: int\n    checked: int\n    fact: ClassVar[int] = 2\n\n"
        "    def __post_init__(self):\n        assert self.checked\n",
        encoding="utf-8",
    )
    (source / "loop.py").write_text("print(config.read)\n", encoding="utf-8")

    unread, count = ci_script("config_fields").unread(tmp_path)

    assert unread == ["packages/x/src/burnish/x/config.py:4: A.checked is read by no source file"]
    assert count == 2


def test_tag_must_name_a_package_and_its_version(ci_script):
    problem = ci_script("release_tag").problem
    version = ci_script("workspace").packages()["rl"].version

    assert problem(f"burnish-rl-v{version}") is None
    assert "has version" in problem("burnish-rl-v99.0.0")
    assert "no such package" in problem("burnish-dpo-v0.1.0")


def test_readme_example_that_fails_names_its_line(ci_script, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("# x\n\n```python\na = 1\n```\n\n```python\nassert a == 2\n```\n", encoding="utf-8")

    with pytest.raises(AssertionError) as caught:
        ci_script("readme_examples").run(readme)
    assert caught.traceback[-1].lineno == 7

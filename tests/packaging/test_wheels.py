import zipfile

import pytest

PACKAGES = ("platform", "llm", "sample", "sft", "rl", "minionerec")


@pytest.mark.parametrize("package", PACKAGES)
def test_wheel_holds_its_portion_of_the_namespace_and_no_other(wheels, package):
    [wheel] = wheels.glob(f"burnish_{package}-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    modules = {name for name in names if ".dist-info/" not in name}

    assert all(name == "burnish/" or name.startswith(f"burnish/{package}/") for name in modules)
    assert f"burnish/{package}/py.typed" in modules
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


@pytest.mark.parametrize(
    ("distribution", "preset"),
    [
        ("burnish_minimal_plugin", "burnish_minimal/conf/experiment/brief.yaml"),
        ("burnish_dpo", "burnish_dpo/conf/recipe/dpo_tiny.yaml"),
    ],
)
def test_wheel_of_a_plugin_holds_nothing_of_burnish(wheels, distribution, preset):
    [wheel] = wheels.glob(f"{distribution}-*.whl")
    names = zipfile.ZipFile(wheel).namelist()

    assert not [name for name in names if name.startswith("burnish/")]
    assert preset in names


def test_only_platform_declares_scripts(wheels):
    declaring = []
    for wheel in wheels.glob("*.whl"):
        archive = zipfile.ZipFile(wheel)
        texts = [archive.read(n).decode() for n in archive.namelist() if n.endswith("/entry_points.txt")]
        declaring += [wheel.name.split("-")[0] for text in texts if "[console_scripts]" in text]

    assert declaring == ["burnish_platform"]

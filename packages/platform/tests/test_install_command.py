import json

import pytest

from burnish.platform.configuration.install_command import command_beside, install_command

pytestmark = pytest.mark.fast


@pytest.fixture
def clone(tmp_path):
    """Return the directory of a package in a clone that has another one, `rl`."""
    for name in ("platform", "rl"):
        (tmp_path / "packages" / name).mkdir(parents=True)
        (tmp_path / "packages" / name / "pyproject.toml").touch()
    return tmp_path / "packages" / "platform"


def test_a_package_of_the_clone_is_installed_from_there(clone):
    assert command_beside(clone, "burnish-rl") == f"pip install {clone.parent / 'rl'}"


def test_a_package_that_the_clone_lacks_is_installed_by_its_name(clone):
    assert command_beside(clone, "burnish-dpo") == "pip install burnish-dpo"
    assert command_beside(None, "burnish-rl") == "pip install burnish-rl"


@pytest.mark.parametrize("of_directory", [True, False])
def test_the_clone_is_known_from_what_the_installer_has_recorded(clone, distribution, of_directory):
    origin = {"url": clone.as_uri(), "dir_info": {}} if of_directory else {"url": clone.as_uri()}
    distribution(
        "burnish-platform", {}, {"burnish_platform-1.0.dist-info/direct_url.json": json.dumps(origin)}
    )
    expected = clone.parent / "rl" if of_directory else "burnish-rl"
    assert install_command("burnish-rl") == f"pip install {expected}"

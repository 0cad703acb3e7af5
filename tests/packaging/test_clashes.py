import pytest

RIVAL_STAGE = """\
from dataclasses import dataclass


@dataclass(frozen=True)
class Other:
    def build(self, run):
        return None
"""


@pytest.fixture
def platform_and_plugin(environment):
    return environment("burnish-platform", "burnish-minimal-plugin")


def run_beside(installed, wheel, cwd, *arguments: str):
    """Run `train` with one more wheel, and take the wheel out again: the environment is shared."""
    installed.pip("install", "--no-deps", str(wheel))
    try:
        return installed.run("train", *arguments, cwd=cwd)
    finally:
        installed.pip("uninstall", wheel.name.split("-")[0])


def test_component_of_two_distributions_names_both(platform_and_plugin, rival_wheel, tmp_path):
    wheel = rival_wheel(
        "rival-stage", {"config.py": RIVAL_STAGE}, stage='census = "rival_stage.config:Other"'
    )
    done = run_beside(platform_and_plugin, wheel, tmp_path, "stage=census")

    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    for words in (
        "'census'",
        "rival-stage 2.5.0",
        "burnish-minimal-plugin 0.1.0",
        "rival_stage.config:Other",
    ):
        assert words in done.stderr
    assert not (tmp_path / "runs").exists()


def test_component_that_clashes_can_be_named_by_its_import_path(platform_and_plugin, rival_wheel, tmp_path):
    wheel = rival_wheel(
        "rival-stage", {"config.py": RIVAL_STAGE}, stage='census = "rival_stage.config:Other"'
    )
    path = "burnish_minimal.config:Census"
    done = run_beside(platform_and_plugin, wheel, tmp_path, f"stage={path}", "run.name=trial")

    assert done.returncode == 0, done.stderr


def test_preset_of_two_distributions_names_both(platform_and_plugin, rival_wheel, tmp_path):
    preset = "# @package _global_\nrun:\n  seed: 3\n"
    wheel = rival_wheel(
        "rival-preset",
        {"conf/__init__.py": "", "conf/experiment/brief.yaml": preset},
        config='rival = "rival_preset.conf"',
    )
    done = run_beside(platform_and_plugin, wheel, tmp_path, "stage=census")

    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    for words in ("'experiment/brief'", "rival-preset 2.5.0", "burnish-minimal-plugin 0.1.0"):
        assert words in done.stderr
    assert not (tmp_path / "runs").exists()


def test_preset_with_a_name_of_its_own_is_found(platform_and_plugin, rival_wheel, tmp_path):
    preset = "# @package _global_\nrun:\n  seed: 3\n"
    wheel = rival_wheel(
        "rival-preset",
        {"conf/__init__.py": "", "conf/experiment/other.yaml": preset},
        config='rival = "rival_preset.conf"',
    )
    done = run_beside(
        platform_and_plugin, wheel, tmp_path, "stage=census", "+experiment=other", "--print-config"
    )

    assert done.returncode == 0, done.stderr
    assert "seed: 3" in done.stdout


def test_plugin_that_fails_to_import_is_named(platform_and_plugin, rival_wheel, tmp_path):
    wheel = rival_wheel(
        "broken-plugin", {"config.py": "import not_there\n"}, stage='broken = "broken_plugin.config:Broken"'
    )
    done = run_beside(platform_and_plugin, wheel, tmp_path, "stage=broken")

    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    for words in ("'broken'", "broken-plugin 2.5.0", "not_there"):
        assert words in done.stderr

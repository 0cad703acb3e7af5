import re

import pytest
import yaml

pytestmark = pytest.mark.fast

WORKFLOWS = ("ci", "docs", "wheels", "release")


def commands(root, workflow: str) -> list[str]:
    text = (root / ".github" / "workflows" / f"{workflow}.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    return [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]


def parts(root) -> set[str]:
    text = (root / ".ci" / "run").read_text(encoding="utf-8")
    packages = re.search(r'^PACKAGES="(.*)"', text, re.MULTILINE).group(1).split()
    named = " ".join(re.findall(r'^PARTS="(?:\$PARTS )?([a-z ]+)"', text, re.MULTILINE)).split()
    return {*named, *(f"isolated-{package}" for package in packages)}


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_workflow_runs_only_parts_of_the_one_script(root, workflow):
    for command in commands(root, workflow):
        script, *named = command.replace("${{ matrix.package }}", "rl").split()
        assert script == ".ci/run"
        assert named
        assert set(named) <= parts(root)


def test_script_knows_the_packages_there_are(root):
    members = {file.parent.name for file in root.glob("packages/*/pyproject.toml")}

    assert {f"isolated-{name}" for name in members} <= parts(root)


def test_publishing_job_builds_nothing(root):
    text = (root / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]

    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert not [step for step in jobs["publish"]["steps"] if "run" in step]
    assert "permissions" not in jobs["build"]


def test_job_that_deploys_the_site_builds_nothing(root):
    text = (root / ".github" / "workflows" / "docs.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]

    assert jobs["deploy"]["permissions"] == {"id-token": "write", "pages": "write"}
    assert not [step for step in jobs["deploy"]["steps"] if "run" in step]
    assert "permissions" not in jobs["build"]

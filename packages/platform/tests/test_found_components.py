"""What a stage finds for itself is in `run.json`, with the distribution it comes from."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from burnish.platform.configuration.registry import Provider
from burnish.platform.runs.found_components import record_found
from burnish.platform.runs.run_directory import RunDirectory

pytestmark = pytest.mark.fast

FOUND = Provider("family", "theirs", "their_wheel:Theirs", "their-wheel", "1.0")

FINDER = """
from dataclasses import dataclass
from burnish.platform.configuration.registry import Provider
from burnish.platform.runs.found_components import record_found
from burnish.platform.statistics.tracker import StatsTracker

@dataclass(frozen=True, kw_only=True)
class Finder:
    version: str = "1.0"
    steps: int = 1

    def build(self, run):
        provider = Provider("family", "theirs", "their_wheel:Theirs", "their-wheel", self.version)
        record_found(run.root, run.name, [provider])
        return Running(run)

@dataclass(frozen=True)
class Running:
    run_: object

    def plan(self):
        return {}

    def run(self, artifacts):
        for step in self.run_.steps(1):
            self.run_.commit(step, StatsTracker())
        return artifacts
"""
"""A stage that finds what its option says."""


@pytest.fixture
def root(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.write_json("run.json", {"components": []})
    return directory


def recorded(root):
    return json.loads((root.path / "run.json").read_text(encoding="utf-8"))


def test_what_stages_find_is_recorded_once_for_each(root):
    for stage in ("sft", "rl", "rl"):
        record_found(root, stage, [FOUND])
    assert recorded(root) == {"components": [], "found": {"sft": [asdict(FOUND)], "rl": [asdict(FOUND)]}}


def test_another_version_that_a_resumed_stage_finds_stands_beside_the_first(root):
    record_found(root, "sft", [FOUND])
    record_found(root, "sft", [replace(FOUND, version="2.0")])
    assert [found["version"] for found in recorded(root)["found"]["sft"]] == ["1.0", "2.0"]


def test_nothing_is_written_by_another_process_or_where_no_run_is_recorded(root, tmp_path):
    record_found(RunDirectory(root.path, is_primary=False), "sft", [FOUND])
    assert recorded(root) == {"components": []}
    record_found(RunDirectory(tmp_path / "none"), "sft", [FOUND])
    assert not (tmp_path / "none").exists()


def test_a_dry_run_over_a_run_leaves_its_record_alone(distribution, train):
    distribution(
        "burnish-finder", {"stage": {"finder": "burnish_finder:Finder"}}, {"burnish_finder.py": FINDER}
    )
    words = ("stage=finder", "~sink@logging.sinks.console", "~sink@logging.sinks.tensorboard", "run.name=x")
    assert train(*words)[0] == 0
    file = Path("runs/x/run.json")
    before = file.read_bytes()
    assert json.loads(before)["found"] == {"finder": [asdict(FOUND)]}
    again = ("stages.finder.version='2.0'", "checkpoint.resume_from=latest")
    assert train(*words, *again, "--dry-run")[0] == 0
    assert file.read_bytes() == before

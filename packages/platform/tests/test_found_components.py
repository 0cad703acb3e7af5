"""What a stage finds for itself is in `run.json`, with the distribution it comes from."""

import json
from dataclasses import asdict, replace

import pytest

from burnish.platform.configuration.registry import Provider
from burnish.platform.runs.found_components import record_found
from burnish.platform.runs.run_directory import RunDirectory

pytestmark = pytest.mark.fast

FOUND = Provider("family", "theirs", "their_wheel:Theirs", "their-wheel", "1.0")


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

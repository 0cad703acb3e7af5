"""What stages find for themselves while they run, recorded in `run.json` beside what the config names."""

import json
from collections.abc import Iterable
from dataclasses import asdict

from burnish.platform.configuration.registry import Provider
from burnish.platform.runs.run_directory import RunDirectory

FOUND = "found"
"""The field of `run.json`: components by the stage that has found them."""


def record_found(root: RunDirectory, stage: str, components: Iterable[Provider]) -> None:
    """Add components that no config names to those that a stage has found, each once.

    A resumed stage may find another version: both stay. Nothing is written where nothing is recorded, as in
    a dry run.
    """
    file = root.path / "run.json"
    if not root.is_primary or not file.is_file():
        return
    record = json.loads(file.read_text(encoding="utf-8"))
    found = record.get(FOUND, {})
    before = found.get(stage, [])
    new = [asdict(component) for component in components if asdict(component) not in before]
    if new:
        root.write_json(file.name, {**record, FOUND: {**found, stage: [*before, *new]}})

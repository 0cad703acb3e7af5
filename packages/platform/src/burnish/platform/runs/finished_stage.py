"""A stage that has ended: what it hands on, and the record of it, `done.json`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.runs.records import damaged, read_record

MARK = "done.json"

_FIELDS = {"next_global_step": int, "artifacts": dict, "ended_early": (str, type(None))}
_REMEDY = (
    "delete it: its stage then ends anew from the last checkpoint, and the stages after it run once more"
)


@dataclass(frozen=True)
class FinishedStage:
    """What a completed stage left behind: its artifacts, and the global step after its last."""

    artifacts: Artifacts
    next_global_step: int
    ended_early: str | None = None
    """At which step and why it ended before its last one; None where it did not."""


def record_of(finished: FinishedStage, run: Path) -> dict[str, Any]:
    """Return what is written of a stage; directories in the run are kept relative to it."""
    directories = {key: _relative(path, run) for key, path in finished.artifacts.directories.items()}
    return {
        "next_global_step": finished.next_global_step,
        "artifacts": directories,
        "ended_early": finished.ended_early,
    }


def read_finished(mark: Path, run: Path) -> FinishedStage:
    """Return the stage that a mark in a run's directory tells of; RunError where it cannot be read."""
    content = read_record(mark, _FIELDS, _REMEDY)
    for key, path in content["artifacts"].items():
        if not isinstance(path, str):
            raise damaged(mark, f"is damaged: artifacts.{key} must be the path of a directory", _REMEDY)
    directories = {key: run / path for key, path in content["artifacts"].items()}
    return FinishedStage(
        Artifacts(directories=directories), content["next_global_step"], content.get("ended_early")
    )


def require_directories(finished: FinishedStage, mark: Path) -> None:
    """Raise RunError where what a stage hands on is not where its mark says: the next one cannot begin."""
    for key, path in finished.artifacts.directories.items():
        if not path.is_dir():
            raise damaged(mark, f"says that artifacts.{key} is '{path}', which is no directory", _REMEDY)


def _relative(path: Path, parent: Path) -> str:
    """Return `path` below `parent` as a relative one, so that a run can be moved; others absolute."""
    path, parent = path.resolve(), parent.resolve()
    return str(path.relative_to(parent)) if path.is_relative_to(parent) else str(path)

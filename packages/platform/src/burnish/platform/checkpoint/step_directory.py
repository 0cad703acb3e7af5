"""One checkpoint on disk: `step_<k>/` with `state.json`, a manifest, and each participant's trees and files.

What a participant saves lies under its name, so that two may save `params`; `training` alone keeps the top,
because a checkpoint is opened as a model by what lies there. Written here without regard to atomicity, which
is the manager's; read here from a directory that has been verified.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from burnish.platform import atomic
from burnish.platform.checkpoint.backend import CheckpointBackend, CheckpointContext
from burnish.platform.checkpoint.manifest import MANIFEST, Verified, verify
from burnish.platform.checkpoint.snapshot import Restored, Snapshot, Stateful, Tree
from burnish.platform.errors import CheckpointError

STATE = "state.json"
AT_TOP = "training"
"""The participant whose trees and files lie beside `state.json`."""

SINK_PREFIX = "sink."
"""Participants whose names begin so may be left out of a resume: `logging` is free to change."""

BuildBackend = Callable[[str], CheckpointBackend]
"""From the name that a checkpoint recorded to the backend that reads it."""


def read_tree(checkpoint: Verified, name: str, like: Tree) -> Tree:
    """Return a tree of a verified checkpoint; `name` is one of `training`, or `<participant>/<tree>`.

    The backend is found by its recorded name among the installed ones; an import path is refused, since a
    checkpoint may come from anywhere. Raises `CheckpointError` for whatever does not fit `like`.
    """
    return _load(checkpoint, name, like, build_installed_backend)


def tree_names(snapshots: Mapping[str, Snapshot]) -> list[str]:
    """Return where each tree of each participant lies in a checkpoint."""
    return sorted(
        _within(participant, name) for participant, snapshot in snapshots.items() for name in snapshot.trees
    )


def build_installed_backend(name: str) -> CheckpointBackend:
    """Return the installed backend called `name` with its default options."""
    from burnish.platform.configuration.registry import resolve

    component = cast("Callable[[], Any]", resolve("checkpoint", name, allow_import_paths=False))
    return component().build(CheckpointContext())


def backend_name(component: object) -> str:
    """Return the name a backend's options are installed under, or their import path where they are not."""
    from burnish.platform.configuration.registry import name_of

    return name_of("checkpoint", component)


def write_payload(
    directory: Path,
    snapshots: Mapping[str, Snapshot],
    backend_of: BuildBackend,
    state: Mapping[str, Any],
) -> None:
    """Write trees, files and `state.json` into the empty `directory`; trees may still be on their way."""
    _require_distinct(snapshots)
    for participant, snapshot in snapshots.items():
        if participant != AT_TOP and (snapshot.trees or snapshot.files):
            atomic.add_directory(directory / participant)
        for name, tree in snapshot.trees.items():
            path = _within(participant, name)
            backend_of(path).save(directory / path, tree)
        for name, content in snapshot.files.items():
            atomic.write_file(directory / _within(participant, name), content)
    participants = {
        participant: {"json": snapshot.json, "trees": sorted(snapshot.trees), "files": sorted(snapshot.files)}
        for participant, snapshot in snapshots.items()
    }
    text = json.dumps({**state, "participants": participants}, indent=1)
    atomic.write_file(directory / STATE, (text + "\n").encode())


def restore(
    checkpoint: Verified,
    participants: Mapping[str, Stateful],
    occasional: Mapping[str, Stateful],
    build_backend: BuildBackend,
) -> None:
    """Give every participant its share of a verified checkpoint, the occasional ones where they have one."""
    saved = read_state(checkpoint.directory)["participants"]
    participants = {**participants, **{name: occasional[name] for name in occasional.keys() & saved.keys()}}
    required = {name for name in saved if name in participants or not name.startswith(SINK_PREFIX)}
    if required != participants.keys():
        raise CheckpointError(
            f"'{checkpoint.directory}' holds the state of {', '.join(sorted(saved)) or 'nothing'}, but the "
            f"stage has {', '.join(sorted(participants)) or 'nothing'} to restore: resume with the stage "
            "that wrote it"
        )
    for name, participant in participants.items():
        participant.load_state(_restored(checkpoint, name, saved[name], build_backend))


def read_state(directory: Path) -> Mapping[str, Any]:
    """Return the content of `state.json`: step, metrics, and what each participant saved."""
    return cast("Mapping[str, Any]", json.loads((directory / STATE).read_text(encoding="utf-8")))


def metric_of(directory: Path, metric: str) -> float | None:
    """Return a metric of the step; None for a checkpoint that has it not, or is damaged."""
    try:
        return float(read_state(directory)["metrics"][metric])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def verify_step(directory: Path, step: int) -> Verified:
    """Return the checkpoint of `step` after checking every file of it; CheckpointError for another step's."""
    checkpoint = verify(directory)
    recorded = checkpoint.facts.get("step")
    if recorded != step:
        raise CheckpointError(f"'{directory}' holds the checkpoint of step {recorded}")
    return checkpoint


def _within(participant: str, name: str) -> str:
    """Return where in a checkpoint a participant's tree or file lies."""
    return name if participant == AT_TOP else f"{participant}/{name}"


def _require_distinct(snapshots: Mapping[str, Snapshot]) -> None:
    """Refuse a participant called as something that `training` keeps at the top."""
    top = {STATE, MANIFEST}
    if AT_TOP in snapshots:
        top |= {*snapshots[AT_TOP].trees, *snapshots[AT_TOP].files}
    for participant in snapshots.keys() & top:
        raise ValueError(f"a participant cannot be called '{participant}': '{AT_TOP}' saves that, too")


def _restored(
    checkpoint: Verified, participant: str, saved: Mapping[str, Any], build_backend: BuildBackend
) -> Restored:
    directory = checkpoint.directory

    def read_file(name: str) -> bytes:
        if name not in saved["files"]:
            raise CheckpointError(
                f"'{directory}' has no file '{name}' of '{participant}'; "
                f"it has {', '.join(saved['files']) or 'none'}"
            )
        return (directory / _within(participant, name)).read_bytes()

    def read_tree_of(name: str, like: Tree) -> Tree:
        return _load(checkpoint, _within(participant, name), like, build_backend)

    return Restored(saved["json"], read_tree_of, read_file)


def _load(checkpoint: Verified, name: str, like: Tree, build_backend: BuildBackend) -> Tree:
    directory, facts = checkpoint.directory, checkpoint.facts
    if name not in facts.get("trees", ()):
        trees = ", ".join(facts.get("trees", ())) or "none"
        raise CheckpointError(f"'{directory}' has no tree '{name}'; it has {trees}")
    return build_backend(facts["backend"]).load(directory / name, like)

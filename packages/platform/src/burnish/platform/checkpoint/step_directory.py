"""One checkpoint on disk: `step_<k>/` with a directory per tree, `state.json`, files, and the manifest.

Written here without regard to atomicity, which is the manager's; read here only after verification.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from burnish.platform.checkpoint.backend import CheckpointBackend, CheckpointContext
from burnish.platform.checkpoint.manifest import MANIFEST, verify
from burnish.platform.checkpoint.snapshot import Restored, Snapshot, Stateful, Tree
from burnish.platform.errors import CheckpointError

STATE = "state.json"

BuildBackend = Callable[[str], CheckpointBackend]
"""From the name that a checkpoint recorded to the backend that reads it."""


def load_tree(directory: Path, name: str, like: Tree) -> Tree:
    """Return the tree `name` of the checkpoint in `directory`, after verifying the files it consists of.

    The backend is found by its recorded name among the installed ones; an import path is refused, since a
    checkpoint may come from anywhere. Raises `CheckpointError` for whatever does not fit `like`.
    """
    facts = verify(directory, only={name})
    return _load(directory, facts, name, like, build_installed_backend)


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
    """Write trees, files and `state.json` into the new `directory`; trees may still be on their way."""
    directory.mkdir(parents=True)
    taken = {STATE, MANIFEST}
    for participant, snapshot in snapshots.items():
        for name in (*snapshot.trees, *snapshot.files):
            assert name not in taken, f"two participants save '{name}' ('{participant}' is the second)"
            taken.add(name)
        for name, tree in snapshot.trees.items():
            backend_of(name).save(directory / name, tree)
        for name, content in snapshot.files.items():
            (directory / name).write_bytes(content)
    participants = {
        participant: {"json": snapshot.json, "trees": sorted(snapshot.trees), "files": sorted(snapshot.files)}
        for participant, snapshot in snapshots.items()
    }
    text = json.dumps({**state, "participants": participants}, indent=1)
    (directory / STATE).write_text(text + "\n", encoding="utf-8")


def restore(directory: Path, participants: Mapping[str, Stateful], build_backend: BuildBackend) -> None:
    """Verify the checkpoint in `directory` and give every participant its share."""
    facts = verify(directory)
    saved = read_state(directory)["participants"]
    if saved.keys() != participants.keys():
        raise CheckpointError(
            f"'{directory}' holds the state of {', '.join(sorted(saved)) or 'nothing'}, but the stage has "
            f"{', '.join(sorted(participants)) or 'nothing'} to restore: resume with the stage that wrote it"
        )
    for name, participant in participants.items():
        participant.load_state(_restored(directory, facts, saved[name], build_backend))


def read_state(directory: Path) -> Mapping[str, Any]:
    """Return the content of `state.json`: step, metrics, and what each participant saved."""
    return cast("Mapping[str, Any]", json.loads((directory / STATE).read_text(encoding="utf-8")))


def _restored(
    directory: Path, facts: Mapping[str, Any], saved: Mapping[str, Any], build_backend: BuildBackend
) -> Restored:
    def read_file(name: str) -> bytes:
        if name not in saved["files"]:
            raise CheckpointError(
                f"'{directory}' has no file '{name}'; it has {', '.join(saved['files']) or 'none'}"
            )
        return (directory / name).read_bytes()

    return Restored(
        saved["json"], lambda name, like: _load(directory, facts, name, like, build_backend), read_file
    )


def _load(
    directory: Path, facts: Mapping[str, Any], name: str, like: Tree, build_backend: BuildBackend
) -> Tree:
    if name not in facts.get("trees", ()):
        trees = ", ".join(facts.get("trees", ())) or "none"
        raise CheckpointError(f"'{directory}' has no tree '{name}'; it has {trees}")
    return build_backend(facts["backend"]).load(directory / name, like)

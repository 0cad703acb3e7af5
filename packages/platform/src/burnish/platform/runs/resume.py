"""Where a run starts: fresh, from its latest or best checkpoint, or from one that is named.

Everything is looked at before anything is changed: the config by `comparison`, the checkpoint against its
manifest. `rewind` then removes what lies past the point: stages, checkpoints, rows.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from burnish.platform.checkpoint.manager import CheckpointManager
from burnish.platform.checkpoint.manifest import Verified
from burnish.platform.configuration.config import Config
from burnish.platform.errors import CheckpointError, ConfigError
from burnish.platform.runs.checkpoints import checkpoints_of
from burnish.platform.runs.rewind import incomplete_rows
from burnish.platform.runs.run_directory import RunDirectory

CHECKPOINT = re.compile(r"stages/(?P<index>\d+)-(?P<stage>[^/]+)/checkpoints/step_(?P<step>\d+)$")


@dataclass(frozen=True)
class StartingPoint:
    """The stage that a run goes on with (counted from 1) and the checkpoint in it; None is its beginning."""

    stage_index: int
    checkpoint: Verified | None = None
    notes: tuple[str, ...] = ()
    """What the user should know of the choice."""

    @property
    def step(self) -> int | None:
        """The last step that is kept; None where the stage begins anew."""
        return None if self.checkpoint is None else int(self.checkpoint.facts["step"])

    @property
    def records(self) -> Mapping[str, int] | None:
        """The bytes of the run's files of rows and events at the checkpoint, None where it has not noted."""
        return None if self.checkpoint is None else self.checkpoint.facts.get("records")


FRESH = StartingPoint(stage_index=1)


def run_of_checkpoint(path: Path) -> Path:
    """Return the run directory that a `.../stages/<n>-<name>/checkpoints/step_<k>` path lies in.

    Raises:
        CheckpointError: the path is none of that form, or nothing is there.
    """
    resolved = path.resolve().as_posix()
    match = CHECKPOINT.search(resolved)
    if match is None or not path.is_dir():
        raise CheckpointError(
            f"checkpoint.resume_from='{path}' is no checkpoint directory; use latest, best, or a path that "
            "ends in stages/<n>-<name>/checkpoints/step_<k>"
        )
    return Path(resolved[: match.start()])


def find_starting_point(config: Config, root: RunDirectory) -> StartingPoint:
    """Return where `checkpoint.resume_from` says to go on, with the checkpoint's files verified.

    Raises:
        CheckpointError: there is none to go on from, or it is damaged; the message offers the one before.
    """
    wanted = config.checkpoint.resume_from
    if wanted not in ("latest", "best"):
        return _named(Path(str(wanted)), config)
    names = list(config.stages)
    unfinished = [i for i, name in enumerate(names, 1) if root.finished_stage(i, name) is None]
    index = unfinished[0] if unfinished else len(names)
    manager = checkpoints_of(root.stage(index, names[index - 1]), config.checkpoint)
    if wanted == "latest":
        return _newest_with_rows(config, root, index, manager)
    step = manager.best()
    if step is None:
        raise CheckpointError(
            f"checkpoint.resume_from=best: no checkpoint of '{names[index - 1]}' has the metric "
            f"checkpoint.keep_best={config.checkpoint.keep_best}; use latest or a path"
        )
    return StartingPoint(index, manager.verify(step))


def _newest_with_rows(
    config: Config, root: RunDirectory, index: int, manager: CheckpointManager
) -> StartingPoint:
    """Return a stage's newest checkpoint whose rows are all there, with a note of each newer one."""
    notes: list[str] = []
    for step in reversed(manager.steps()):
        checkpoint = manager.verify(step)
        lost = ", ".join(incomplete_rows(root, config, index, checkpoint))
        if not lost:
            return StartingPoint(index, checkpoint, tuple(notes))
        notes.append(f"{lost}: rows up to step {step} are missing or altered; an earlier checkpoint is taken")
    if notes:
        raise CheckpointError(
            f"'{root.path}': {notes[-1].partition(';')[0]}, and there is no earlier checkpoint; put the file "
            "back, or go on without these rows by naming a checkpoint: checkpoint.resume_from=<path>"
        )
    if root.finished_stage(index, list(config.stages)[index - 1]) is not None:
        raise CheckpointError(f"'{manager.directory}' has no checkpoint, so its finished stage cannot go on")
    return StartingPoint(index)


def stages_kept(config: Config) -> int | None:
    """Return how many stages a named checkpoint leaves something of; None for `latest` and `best`."""
    match = CHECKPOINT.search(Path(str(config.checkpoint.resume_from)).resolve().as_posix())
    return None if match is None else int(match["index"])


def refuse_other_run(config: Config, run: Path) -> None:
    """Raise ConfigError where `checkpoint.resume_from` is a checkpoint of another run than `run`."""
    wanted = config.checkpoint.resume_from
    if wanted in (None, "latest", "best") or run_of_checkpoint(Path(wanted)) == run.resolve():
        return
    raise ConfigError(
        f"checkpoint.resume_from='{wanted}' belongs to another run than run.name='{config.run.name}'; "
        "leave run.name out to go on with that run, or start from its weights with "
        f"model=pretrained model.name_or_path={wanted}"
    )


def _named(path: Path, config: Config) -> StartingPoint:
    match = CHECKPOINT.search(path.resolve().as_posix())
    assert match is not None, "a path that lies in a run matches"
    index, names = int(match["index"]), list(config.stages)
    if index > len(names) or names[index - 1] != match["stage"]:
        raise ConfigError(f"checkpoint.resume_from='{path}': the chain {'+'.join(names)} has no such stage")
    manager = checkpoints_of(path.parent.parent, config.checkpoint)
    return StartingPoint(index, manager.verify(int(match["step"])))

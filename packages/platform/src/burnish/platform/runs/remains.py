"""What is intact of a run that cannot go on, and the command that goes on with it."""

import shlex
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from burnish.platform.configuration.config import Config
from burnish.platform.errors import BurnishError, DiskError
from burnish.platform.runs.checkpoints import checkpoints_of
from burnish.platform.runs.run_directory import RunDirectory


@contextmanager
def telling(config: Config, root: RunDirectory, overrides: Sequence[str]) -> Generator[None]:
    """Add to the error of a disk what of the run is intact, and how to go on once the disk is in order."""
    try:
        yield
    except DiskError as error:
        error.add_note(f"intact: {intact(config, root)}")
        error.add_note(f"once the disk is in order, go on with: {resume_command(root, overrides)}")
        raise


def intact(config: Config, root: RunDirectory) -> str:
    """Return where the run would go on: the newest checkpoint of its first unfinished stage that is whole."""
    names = list(config.stages)
    try:
        finished = [root.finished_stage(index, name) is not None for index, name in enumerate(names, 1)]
        index = finished.index(False) + 1 if False in finished else len(names)
        manager = checkpoints_of(root.stage(index, names[index - 1]), config.checkpoint)
        step = manager.newest_intact()
    except (OSError, BurnishError):
        return "what the disk lets nobody read now"
    if step is not None:
        return f"the checkpoint '{manager.path(step)}'"
    if index > 1:
        return f"the stage '{names[index - 2]}' and those before it"
    return "nothing yet, so the run begins anew"


def resume_command(root: RunDirectory, overrides: Sequence[str]) -> str:
    """Return the command that goes on with this run, quoted for a shell."""
    ours = ("run.name=", "checkpoint.resume_from=")
    kept = [word for word in overrides if not word.startswith(ours)]
    return shlex.join(["train", *kept, f"run.name={root.path.name}", "checkpoint.resume_from=latest"])

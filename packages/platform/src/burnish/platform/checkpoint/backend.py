"""The slot `checkpoint`: array trees in and out of a directory of their own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from burnish.platform.checkpoint.snapshot import Tree
from burnish.platform.configuration.conformance import built


@dataclass(frozen=True, kw_only=True)
class CheckpointContext:
    """What a checkpoint backend may use: nothing of a run, since a checkpoint is also read without one."""


@runtime_checkable
class CheckpointBackend(Protocol):
    """Array payloads only: atomicity, checksums and rotation are the manager's."""

    def save(self, path: Path, tree: Tree) -> None:
        """Write every leaf of `tree` under the directory `path`, which this makes.

        May return before the files are complete, but never before the tree's buffers may be reused.
        """
        ...

    def load(self, path: Path, like: Tree) -> Tree:
        """Return the tree saved under `path` with the structure, shapes, dtypes and shardings of `like`.

        A leaf of `like` without a sharding comes back as a numpy array of its own. Raises `CheckpointError`
        when a leaf is missing, unexpected, or of another shape or dtype; nothing is cast.
        """
        ...

    def wait(self) -> None:
        """Return when the files of every earlier `save` are complete; raise what went wrong in them."""
        ...


class CheckpointComponent(Protocol):
    """Options of a checkpoint backend."""

    def build(self, context: CheckpointContext, /) -> CheckpointBackend:
        """Return the backend."""
        ...


def require_backend(component: CheckpointComponent) -> None:
    """Raise ComponentError where a component builds no backend: before there is anything to save."""
    built("checkpoint", component, CheckpointBackend, CheckpointContext())

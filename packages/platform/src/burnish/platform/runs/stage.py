"""What a stage is to the pipeline: it takes directories and hands over directories, never memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from burnish.platform.configuration.config import JaxConfig


@dataclass(frozen=True, kw_only=True)
class Artifacts:
    """Directories that stages hand to each other, by name: `model` is the one every training stage writes."""

    directories: Mapping[str, Path] = field(default_factory=dict[str, Path])

    def get(self, name: str) -> Path | None:
        """Return the directory called `name`, or None when no stage before has written one."""
        return self.directories.get(name)

    def including(self, name: str, directory: Path) -> "Artifacts":
        """Return these artifacts with the directory `name` added or replaced."""
        return replace(self, directories={**self.directories, name: directory})


class Stage(Protocol):
    """One link of a chain, built from its config by `build(run, **shared)`."""

    def run(self, artifacts: Artifacts) -> Artifacts:
        """Do the stage's work from what came before and return what the next stage may use."""
        ...


@runtime_checkable
class SupportsCheck(Protocol):
    """Options of a stage that can be held against the rest of the config before anything is written."""

    def check(self, jax: JaxConfig) -> None:
        """Raise ConfigError where they do not go together."""
        ...


@runtime_checkable
class SupportsPlan(Protocol):
    """A stage that can say what it would do, without doing it or allocating for it."""

    def plan(self) -> Mapping[str, int | float | str]:
        """Return batch arithmetic, parameter counts and state bytes for `--dry-run`."""
        ...

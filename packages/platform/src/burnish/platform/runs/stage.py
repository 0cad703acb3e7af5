"""What a stage is to the pipeline: it takes directories and hands over directories, never memory."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from burnish.platform.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig


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

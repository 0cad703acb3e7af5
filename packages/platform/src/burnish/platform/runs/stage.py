"""The slot `stage`: what takes directories from the one before and hands over directories, never memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.configuration.parts import needs_of


class Stage(Protocol):
    """One link of a chain, built from its config by `build(run, **shared)`."""

    def run(self, artifacts: Artifacts) -> Artifacts:
        """Do the stage's work from what came before and return what the next stage may use."""
        ...


class StageComponent(Protocol):
    """Options of a stage.

    It declares the artifacts that its `run` adds by a class attribute `provides`, and those it cannot do
    without by `needs`, as any component does; both are empty where it says nothing.
    """

    @property
    def build(self) -> Any:
        """Return what makes the stage from a `StageRun` and the components of the shared fields, by name."""
        ...


@dataclass(frozen=True, kw_only=True)
class CheckContext:
    """What a stage's options are held against."""

    jax: JaxConfig
    """Devices and number formats of the run."""

    coming: frozenset[str] = frozenset()
    """Artifacts that earlier blocks will provide: there when the stage runs, and not before."""

    def can_build(self, component: object) -> bool:
        """Whether nothing that the component needs is still to come."""
        return not needs_of(component) & self.coming


@runtime_checkable
class SupportsCheck(Protocol):
    """Options of a stage that can be held against the rest of the config before anything is written."""

    def check(self, context: CheckContext) -> None:
        """Raise ConfigError where they do not go together."""
        ...


@runtime_checkable
class SupportsPlan(Protocol):
    """A stage that can say what it would do, without doing it or allocating for it."""

    def plan(self) -> Mapping[str, int | float | str]:
        """Return batch arithmetic, parameter counts and state bytes for `--dry-run`."""
        ...

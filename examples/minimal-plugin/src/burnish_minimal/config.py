"""The components of this plugin as plain data; nothing here imports jax, which is what `build` is for."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from burnish.platform import ConfigError, shared, slot

if TYPE_CHECKING:
    from burnish.platform import DataComponent, StageRun
    from burnish.sample import Engine, EngineComponent, EngineContext
    from burnish_minimal.stage import CensusStage


@dataclass(frozen=True, kw_only=True)
class Census:
    """The `census` stage: count the records of a split and the characters of their prompts, train nothing."""

    data: "DataComponent" = shared("data", "arithmetic")
    """Where the records come from."""

    split: str = "prompts"
    """Split that is counted; it must be one that the data has."""

    max_records: int = 1000
    """Records read from the split's beginning, at most."""

    def __post_init__(self) -> None:
        """Refuse to count nothing."""
        if self.max_records < 1:
            raise ConfigError(f"`max_records` is {self.max_records}; it must be 1 or more")

    def build(self, run: "StageRun", *, data: "DataComponent") -> "CensusStage":
        """Return the stage."""
        from burnish_minimal.stage import CensusStage

        return CensusStage(self, run, data)


@dataclass(frozen=True, kw_only=True)
class Deduplicated:
    """An engine that asks another one for each different greedy completion once."""

    inner: "EngineComponent" = slot("engine", "in_process")
    """The engine that generates."""

    def build(self, context: "EngineContext") -> "Engine":
        """Return the engine around the inner one, which is built from the same context."""
        from burnish_minimal.engine import DeduplicatedEngine

        return DeduplicatedEngine(self.inner.build(context))

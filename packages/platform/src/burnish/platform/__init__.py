"""Configuration, components, runs, checkpoints, statistics and data: knows no model, token or reward."""

from typing import TYPE_CHECKING

from burnish.platform.lazy import lazy_names

if TYPE_CHECKING:
    from burnish.platform.checkpoint.snapshot import Restored, Snapshot
    from burnish.platform.configuration.artifacts import Artifacts
    from burnish.platform.configuration.composition import compose_config
    from burnish.platform.configuration.config import Config
    from burnish.platform.configuration.registry import available, resolve
    from burnish.platform.configuration.slot_fields import shared, slot, slots
    from burnish.platform.data.source import DataComponent, DataContext
    from burnish.platform.errors import BurnishError, ConfigError, DataError
    from burnish.platform.runs.launch import run
    from burnish.platform.runs.stage_run import StageRun
    from burnish.platform.statistics.metric import Metric
    from burnish.platform.statistics.sink import SinkContext
    from burnish.platform.statistics.tracker import StatsTracker

__all__ = [
    "Artifacts",
    "BurnishError",
    "Config",
    "ConfigError",
    "DataComponent",
    "DataContext",
    "DataError",
    "Metric",
    "Restored",
    "SinkContext",
    "Snapshot",
    "StageRun",
    "StatsTracker",
    "available",
    "compose_config",
    "resolve",
    "run",
    "shared",
    "slot",
    "slots",
]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "Artifacts": "configuration.artifacts",
            "BurnishError": "errors",
            "Config": "configuration.config",
            "ConfigError": "errors",
            "DataComponent": "data.source",
            "DataContext": "data.source",
            "DataError": "errors",
            "Metric": "statistics.metric",
            "Restored": "checkpoint.snapshot",
            "SinkContext": "statistics.sink",
            "Snapshot": "checkpoint.snapshot",
            "StageRun": "runs.stage_run",
            "StatsTracker": "statistics.tracker",
            "available": "configuration.registry",
            "compose_config": "configuration.composition",
            "resolve": "configuration.registry",
            "run": "runs.launch",
            "shared": "configuration.slot_fields",
            "slot": "configuration.slot_fields",
            "slots": "configuration.slot_fields",
        },
    )

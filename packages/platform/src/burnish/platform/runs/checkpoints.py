"""The checkpoints of one stage, kept as the config's section `checkpoint` says."""

from pathlib import Path
from typing import cast

from burnish.platform.checkpoint.backend import CheckpointComponent
from burnish.platform.checkpoint.manager import CheckpointManager
from burnish.platform.checkpoint.policy import CheckpointPolicy
from burnish.platform.configuration.config import CheckpointConfig


def checkpoints_of(stage_directory: Path, config: CheckpointConfig) -> CheckpointManager:
    """Return the manager of the checkpoints in a stage's directory, which need not exist."""
    policy = CheckpointPolicy(
        save_every_steps=config.save_every_steps,
        save_last=config.save_last,
        save_total_limit=config.save_total_limit,
        keep_best=config.keep_best,
        keep_best_mode=config.keep_best_mode,
    )
    backend = cast("CheckpointComponent", config.backend)
    return CheckpointManager(stage_directory / "checkpoints", policy, backend)

"""The parts that make one algorithm of the loop: GRPO, RLOO and REINFORCE differ here and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass

from burnish.rl.advantages.protocol import Advantage
from burnish.rl.batches import BatchLayout
from burnish.rl.filtering import Filtering
from burnish.rl.limits import Limits
from burnish.rl.objectives.mismatch import MeasuredObjective
from burnish.rl.rollouts.protocol import Rollout
from burnish.rl.scoring import Scoring


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """How completions come about, what they are worth, and what is learned from them."""

    rollout: Rollout
    scoring: Scoring
    filtering: Filtering
    advantage: Advantage
    objective: MeasuredObjective
    layout: BatchLayout
    limits: Limits

    @property
    def parts(self) -> Mapping[str, object]:
        """What may have a state of its own, by the name that it has in checkpoints.

        An objective is traced into the update; what moves in it are its `scalars`, read at every update.
        """
        return {
            "rollout": self.rollout,
            "advantage": self.advantage,
            "objective": self.objective.objective,
            "skipped_updates": self.limits.skipped,
            "mismatch_limit": self.limits.mismatch,
            **{f"rewards.{label}": reward for label, reward in self.scoring.rewards.items()},
            **{f"filters.{label}": rule for label, rule in self.filtering.filters.items()},
        }

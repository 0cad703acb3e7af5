"""The parts that make one algorithm of the loop: GRPO, RLOO and REINFORCE differ here and nowhere else."""

from dataclasses import dataclass

from burnish.llm.objective import Objective
from burnish.rl.advantages.protocol import Advantage
from burnish.rl.batches import BatchLayout
from burnish.rl.limits import Limits
from burnish.rl.rollouts.protocol import Rollout
from burnish.rl.selection import Selection


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """How completions come about, what they are worth, and what is learned from them."""

    rollout: Rollout
    selection: Selection
    advantage: Advantage
    objective: Objective
    layout: BatchLayout
    limits: Limits

"""Rollout, reward, advantage and update: reinforcement learning as a burnish stage."""

from typing import TYPE_CHECKING

from burnish.platform.lazy import lazy_names

if TYPE_CHECKING:
    from burnish.rl.advantages.protocol import Advantage, AdvantageContext
    from burnish.rl.config.advantage import BatchMean, GroupMean, LeaveOneOut
    from burnish.rl.config.filter import UniformReward
    from burnish.rl.config.objective import ClippedPolicyGradient, PolicyGradient
    from burnish.rl.config.rollout import SingleTurn
    from burnish.rl.config.stage import RL
    from burnish.rl.filters.protocol import Filter, FilterContext
    from burnish.rl.groups import Group
    from burnish.rl.rollouts.protocol import Rollout, RolloutContext

__all__ = [
    "RL",
    "Advantage",
    "AdvantageContext",
    "BatchMean",
    "ClippedPolicyGradient",
    "Filter",
    "FilterContext",
    "Group",
    "GroupMean",
    "LeaveOneOut",
    "PolicyGradient",
    "Rollout",
    "RolloutContext",
    "SingleTurn",
    "UniformReward",
]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "Advantage": "advantages.protocol",
            "AdvantageContext": "advantages.protocol",
            "BatchMean": "config.advantage",
            "ClippedPolicyGradient": "config.objective",
            "Filter": "filters.protocol",
            "FilterContext": "filters.protocol",
            "Group": "groups",
            "GroupMean": "config.advantage",
            "LeaveOneOut": "config.advantage",
            "PolicyGradient": "config.objective",
            "RL": "config.stage",
            "Rollout": "rollouts.protocol",
            "RolloutContext": "rollouts.protocol",
            "SingleTurn": "config.rollout",
            "UniformReward": "config.filter",
        },
    )

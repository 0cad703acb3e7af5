"""Prompts and weights to completions, and what they are worth: engines, sampling, rewards and evaluation."""

from typing import TYPE_CHECKING

from burnish.platform.lazy import lazy_names

if TYPE_CHECKING:
    from burnish.sample.config.engine import InProcess
    from burnish.sample.config.evaluation import GreedyEvaluation
    from burnish.sample.config.reward import ExactMatch, Format
    from burnish.sample.engine import Engine, EngineComponent, EngineContext, EngineLimits
    from burnish.sample.evaluation import Evaluation, EvaluationContext
    from burnish.sample.request import Completion, Request
    from burnish.sample.rewards.protocol import Reward, RewardContext, RewardResult
    from burnish.sample.rewards.score import score
    from burnish.sample.workbench import Workbench

__all__ = [
    "Completion",
    "Engine",
    "EngineComponent",
    "EngineContext",
    "EngineLimits",
    "Evaluation",
    "EvaluationContext",
    "ExactMatch",
    "Format",
    "GreedyEvaluation",
    "InProcess",
    "Request",
    "Reward",
    "RewardContext",
    "RewardResult",
    "Workbench",
    "score",
]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "Completion": "request",
            "Engine": "engine",
            "EngineComponent": "engine",
            "EngineContext": "engine",
            "EngineLimits": "engine",
            "Evaluation": "evaluation",
            "EvaluationContext": "evaluation",
            "ExactMatch": "config.reward",
            "Format": "config.reward",
            "GreedyEvaluation": "config.evaluation",
            "InProcess": "config.engine",
            "Request": "request",
            "Reward": "rewards.protocol",
            "RewardContext": "rewards.protocol",
            "RewardResult": "rewards.protocol",
            "Workbench": "workbench",
            "score": "rewards.score",
        },
    )

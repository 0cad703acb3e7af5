"""The statistics of a rollout that are worth a glance, importable without jax."""

from burnish.llm.config.metric import LOSS
from burnish.platform.statistics.metric import Metric

REWARD = Metric(name="reward/mean", label="reward", order=15, replaces=(LOSS.name,))
"""The mean reward of a step's completions: a loss of RL says little beside it."""

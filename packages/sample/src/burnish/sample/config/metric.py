"""The statistics of an evaluation that are worth a glance, importable without jax."""

from burnish.platform.statistics.metric import Metric

ACCURACY = Metric(name="eval/accuracy", label="accuracy", order=20)
"""The mean of the first reward over the held-out problems."""

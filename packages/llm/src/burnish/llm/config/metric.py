"""The statistics of the train step that are worth a glance, importable without jax."""

from burnish.platform.statistics.metric import Metric

LOSS = Metric(name="train/loss", label="loss", order=10)
"""What the optimizer steps bring down."""

TOKENS = Metric(name="train/tokens", label="tokens", is_rate=True)
"""Trained tokens."""

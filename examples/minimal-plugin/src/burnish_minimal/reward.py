"""A reward as a plain function: a component without options."""

from collections.abc import Sequence

from burnish.llm import Sample
from burnish.sample import RewardResult


def brief(samples: Sequence[Sample]) -> list[RewardResult]:
    """Return 1 for an empty completion, and the less the more characters it has: 1 / (1 + characters)."""
    return [RewardResult(1.0 / (1 + len(sample.completion))) for sample in samples]

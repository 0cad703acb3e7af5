"""The reward of a form: the completion matches a regular expression from end to end."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from burnish.llm.sequence import Sample
from burnish.sample.rewards.protocol import RewardResult


@dataclass(frozen=True)
class FormatReward:
    """1 where the whole completion, without surrounding blanks, matches; else 0."""

    pattern: re.Pattern[str]

    def __call__(self, samples: Sequence[Sample], /) -> list[RewardResult]:
        """Return one result per sample."""
        return [
            RewardResult(float(self.pattern.fullmatch(sample.completion.strip()) is not None))
            for sample in samples
        ]

"""The reward of a right answer: the one found in the completion is, character by character, the record's."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from burnish.llm.sequence import Sample
from burnish.sample.rewards.protocol import RewardResult


@dataclass(frozen=True)
class ExactMatchReward:
    """1 for the right answer, 0 for another or none; a record without an answer raises `KeyError`."""

    pattern: re.Pattern[str]
    answer_key: str

    def __call__(self, samples: Sequence[Sample], /) -> list[RewardResult]:
        """Return one result per sample."""
        return [RewardResult(float(self._is_right(sample))) for sample in samples]

    def _is_right(self, sample: Sample) -> bool:
        reference = str(sample.record[self.answer_key])
        found = self._extract(sample.completion)
        expected = self._extract(reference)
        return found is not None and found == (reference.strip() if expected is None else expected)

    def _extract(self, text: str) -> str | None:
        """Return the answer in a text; a record's may be marked like a completion's, as in `... #### 72`."""
        match = self.pattern.match(text)
        return None if match is None else (match.group(1) or "").strip()

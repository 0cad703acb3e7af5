"""The rewards of this package as plain data."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from burnish.platform.configuration.option_types import check_options
from burnish.platform.configuration.patterns import compiled

if TYPE_CHECKING:
    from burnish.sample.rewards.protocol import Reward, RewardContext


@dataclass(frozen=True, kw_only=True)
class ExactMatch:
    """1 when the answer found in the completion equals the record's, character by character; else 0."""

    answer_pattern: str = r"(?s).*#\s*(.*)"
    """Regular expression matched from the completion's start; its first group is the answer. The default
    takes what follows the last `#`, so `#6`, `3,1#6` and `#### 72` all work. No match is worth 0."""

    answer_key: str = "answer"
    """Column of the record that holds the right answer, compared as a string without surrounding blanks."""

    def __post_init__(self) -> None:
        """Refuse a pattern that is not one, or that has no group."""
        check_options(self)
        compiled("answer_pattern", self.answer_pattern, needs_group=True)

    @property
    def columns(self) -> frozenset[str]:
        """The column of a record that is read."""
        return frozenset({self.answer_key})

    def build(self, _: "RewardContext") -> "Reward":
        """Return the reward."""
        from burnish.sample.rewards.exact_match import ExactMatchReward

        return ExactMatchReward(re.compile(self.answer_pattern), self.answer_key)


@dataclass(frozen=True, kw_only=True)
class Format:
    """1 when the whole completion matches a regular expression, else 0."""

    pattern: str = r"(?s).*#.+"
    """Regular expression that the completion, without surrounding blanks, must match from end to end."""

    def __post_init__(self) -> None:
        """Refuse a pattern that is not one."""
        check_options(self)
        compiled("pattern", self.pattern)

    def build(self, _: "RewardContext") -> "Reward":
        """Return the reward."""
        from burnish.sample.rewards.format import FormatReward

        return FormatReward(re.compile(self.pattern))

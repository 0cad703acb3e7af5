"""The evaluation of this package as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from burnish.platform.configuration.option_types import check_options
from burnish.platform.configuration.ranges import Count, CountOrZero, Positive
from burnish.platform.configuration.slot_fields import slots

if TYPE_CHECKING:
    from burnish.sample.evaluation import Evaluation, EvaluationContext
    from burnish.sample.rewards.protocol import RewardComponent


@dataclass(frozen=True, kw_only=True)
class GreedyEvaluation:
    """Greedy completions of the same held-out problems each time, and what the rewards say of them."""

    split: str = "test"
    """Split of the data whose problems are solved: `validation`, `test` or another that the data has."""

    num_problems: Count = 512
    """Problems taken from the split's beginning; all of them where it has fewer."""

    every_steps: CountOrZero = 100
    """Steps between two evaluations; 0 evaluates only before the first step and after the last."""

    max_prompt_tokens: Count = 2048
    """Problems with a longer prompt are left out, and counted when the stage starts, as are those that leave
    the model no positions for `max_new_tokens`."""

    max_new_tokens: Count = 256
    """Longest completion in tokens, the end-of-sequence token included."""

    reward_timeout_seconds: Positive = 60.0
    """Seconds an asynchronous reward may take for one sample before the sample counts as failed."""

    rewards: "Mapping[str, RewardComponent]" = slots("reward", ["exact_match"])
    """What a completion is worth; the first one's mean is `eval/accuracy`."""

    def __post_init__(self) -> None:
        """Refuse numbers that select nothing."""
        check_options(self)

    def build(self, context: "EvaluationContext") -> "Evaluation":
        """Return the evaluation over the first `num_problems` of the split."""
        from burnish.sample.greedy_evaluator import build_evaluation

        return build_evaluation(
            context,
            split=self.split,
            num_problems=self.num_problems,
            every_steps=self.every_steps,
            max_prompt_tokens=self.max_prompt_tokens,
            max_new_tokens=self.max_new_tokens,
            rewards=self.rewards,
            reward_timeout_seconds=self.reward_timeout_seconds,
        )

"""The objectives of this package as plain data."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from burnish.platform.configuration.option_types import check_options
from burnish.platform.configuration.ranges import Positive, ShareWithin

if TYPE_CHECKING:
    from burnish.llm.objective import Objective, ObjectiveContext


@dataclass(frozen=True, kw_only=True)
class ClippedPolicyGradient:
    """PPO's clipped surrogate; the policy that sampled is the old policy."""

    clip_low: ShareWithin = 0.2
    """The probability ratio counts down to 1 - clip_low."""
    clip_high: Positive = 0.2
    """The probability ratio counts up to 1 + clip_high."""

    def __post_init__(self) -> None:
        """Refuse ranges that are empty."""
        check_options(self)

    def build(self, context: "ObjectiveContext") -> "Objective":
        """Return the objective; its clip range may move from step to step."""
        del context
        from burnish.rl.objectives.clipped_policy_gradient import ClippedPolicyGradientObjective

        return ClippedPolicyGradientObjective(self.clip_low, self.clip_high)


@dataclass(frozen=True, kw_only=True)
class PolicyGradient:
    """REINFORCE: the log-probability times the advantage; for one update per rollout."""

    max_updates_per_rollout: ClassVar[int] = 1
    """After the first update the samples are of another policy, and nothing here makes up for it."""

    def build(self, context: "ObjectiveContext") -> "Objective":
        """Return the objective."""
        del context
        from burnish.rl.objectives.policy_gradient import PolicyGradientObjective

        return PolicyGradientObjective()

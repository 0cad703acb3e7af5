"""The advantage estimators of this package as plain data."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from burnish.platform.configuration.option_types import check_options

if TYPE_CHECKING:
    from burnish.rl.advantages.protocol import Advantage, AdvantageContext


@dataclass(frozen=True, kw_only=True)
class GroupMean:
    """GRPO: a reward against the mean of its group, in units of the group's standard deviation."""

    min_group_size: ClassVar[int] = 2
    """Completions of a prompt that it takes to compare one."""

    scale: Literal["std", "none"] = "std"
    """Divide by the group's standard deviation (GRPO), or not (Dr. GRPO)."""

    def __post_init__(self) -> None:
        """Refuse a scale that there is not."""
        check_options(self)

    def build(self, _: "AdvantageContext") -> "Advantage":
        """Return the advantage."""
        from burnish.rl.advantages.group_mean import GroupMeanAdvantage

        return GroupMeanAdvantage(is_scaled=self.scale == "std")


@dataclass(frozen=True, kw_only=True)
class LeaveOneOut:
    """RLOO: a reward against the mean of the others in its group."""

    min_group_size: ClassVar[int] = 2
    """Completions of a prompt that it takes to compare one."""

    def build(self, _: "AdvantageContext") -> "Advantage":
        """Return the advantage."""
        from burnish.rl.advantages.leave_one_out import leave_one_out

        return leave_one_out


@dataclass(frozen=True, kw_only=True)
class BatchMean:
    """REINFORCE with a baseline: a reward against the mean of all rewards of the step."""

    scale: Literal["std", "none"] = "std"
    """Divide by the standard deviation of the step's rewards, or not."""

    def __post_init__(self) -> None:
        """Refuse a scale that there is not."""
        check_options(self)

    def build(self, _: "AdvantageContext") -> "Advantage":
        """Return the advantage."""
        from burnish.rl.advantages.batch_mean import BatchMeanAdvantage

        return BatchMeanAdvantage(is_scaled=self.scale == "std")

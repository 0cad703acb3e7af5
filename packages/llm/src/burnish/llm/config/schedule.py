"""The learning rate and its course, which every optimizer of this package has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from burnish.platform.configuration.option_types import check_options
from burnish.platform.configuration.ranges import CountOrZero, NotNegative, Positive, Share

if TYPE_CHECKING:
    from burnish.llm.optimizer import OptimizerContext
    from burnish.llm.optimizers.schedules import Schedule


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """Options that optimizers share; none by itself."""

    learning_rate: Positive = 1e-5
    """Peak learning rate."""

    schedule: Literal["constant", "linear", "cosine", "warmup_stable_decay"] = "cosine"
    """What follows the warm-up: hold, decay to zero (linear or cosine), or hold and decay at the end."""

    warmup_steps: CountOrZero = 0
    """Optimizer steps over which the rate rises linearly, from 1 / (warmup_steps + 1) of the peak."""

    decay_fraction: Share = 0.5
    """Share of all steps in which `warmup_stable_decay` decays; the others ignore it."""

    weight_decay: NotNegative = 0.0
    """Decoupled weight decay of matrices, per unit of learning rate; norms and biases do not decay."""

    def __post_init__(self) -> None:
        """Refuse rates and decays out of range."""
        check_options(self)

    def learning_rates(self, context: OptimizerContext) -> Schedule:
        """Return the schedule, which ends with the stage's last step."""
        from burnish.llm.optimizers.schedules import learning_rate_schedule

        return learning_rate_schedule(
            self.schedule,
            peak=self.learning_rate,
            warmup_steps=self.warmup_steps,
            decay_fraction=self.decay_fraction,
            total_steps=context.total_steps,
        )

"""The optimizers of this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from burnish.platform.configuration.option_types import check_options
from burnish.platform.configuration.ranges import CountOrZero, NotNegative, Positive, Share, ShareBelowOne

if TYPE_CHECKING:
    from burnish.llm.optimizer import OptimizerContext, TracedOptimizer


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """AdamW with a learning-rate schedule."""

    learning_rate: Positive = 1e-5
    """Peak learning rate."""

    schedule: Literal["constant", "linear", "cosine", "warmup_stable_decay"] = "cosine"
    """What follows the warm-up: hold, decay to zero (linear or cosine), or hold and decay at the end."""

    warmup_steps: CountOrZero = 0
    """Optimizer steps over which the rate rises linearly, from 1 / (warmup_steps + 1) of the peak."""

    decay_fraction: Share = 0.5
    """Share of all steps in which `warmup_stable_decay` decays; the others ignore it."""

    b1: ShareBelowOne = 0.9
    """Decay of the first moment."""

    b2: ShareBelowOne = 0.999
    """Decay of the second moment."""

    eps: Positive = 1e-8
    """Added to the root of the second moment."""

    weight_decay: NotNegative = 0.0
    """Decoupled weight decay of matrices, per unit of learning rate; norms and biases do not decay."""

    def __post_init__(self) -> None:
        """Refuse rates and decays out of range."""
        check_options(self)

    def build(self, context: OptimizerContext) -> TracedOptimizer:
        """Return the optimizer, whose schedule ends with the stage's last step."""
        from burnish.llm.optimizer import adamw, learning_rate_schedule

        schedule = learning_rate_schedule(
            self.schedule,
            peak=self.learning_rate,
            warmup_steps=self.warmup_steps,
            decay_fraction=self.decay_fraction,
            total_steps=context.total_steps,
        )
        return adamw(schedule, b1=self.b1, b2=self.b2, eps=self.eps, weight_decay=self.weight_decay)

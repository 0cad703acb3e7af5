"""The optimizers of this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from burnish.platform.configuration.ranges import require_range

if TYPE_CHECKING:
    from burnish.llm.optimizer import OptimizerContext, TracedOptimizer


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """AdamW with a learning-rate schedule."""

    learning_rate: float = 1e-5
    """Peak learning rate."""

    schedule: Literal["constant", "linear", "cosine", "warmup_stable_decay"] = "cosine"
    """What follows the warm-up: hold, decay to zero (linear or cosine), or hold and decay at the end."""

    warmup_steps: int = 0
    """Optimizer steps over which the rate rises linearly, from 1 / (warmup_steps + 1) of the peak."""

    decay_fraction: float = 0.5
    """Share of all steps in which `warmup_stable_decay` decays; the others ignore it."""

    b1: float = 0.9
    """Decay of the first moment."""

    b2: float = 0.999
    """Decay of the second moment."""

    eps: float = 1e-8
    """Added to the root of the second moment."""

    weight_decay: float = 0.0
    """Decoupled weight decay of matrices, per unit of learning rate; norms and biases do not decay."""

    def __post_init__(self) -> None:
        """Refuse rates and decays out of range."""
        require_range("learning_rate", self.learning_rate, self.learning_rate > 0, "above 0")
        require_range("warmup_steps", self.warmup_steps, self.warmup_steps >= 0, "0 or more")
        require_range("decay_fraction", self.decay_fraction, 0 <= self.decay_fraction <= 1, "0 to 1")
        require_range("b1", self.b1, 0 <= self.b1 < 1, "0 to below 1")
        require_range("b2", self.b2, 0 <= self.b2 < 1, "0 to below 1")
        require_range("eps", self.eps, self.eps > 0, "above 0")
        require_range("weight_decay", self.weight_decay, self.weight_decay >= 0, "0 or more")

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

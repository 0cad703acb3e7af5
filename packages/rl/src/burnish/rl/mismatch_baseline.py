"""What share of a model's rounding noise the mismatch is when a stage begins, and what share it may become.

In bfloat16 the share is a property of the program, the machine and the model, and no constant: what a correct
run finds is learned from its first rollouts.
"""

import math
from dataclasses import dataclass

import jax
from jax.sharding import Mesh

from burnish.platform.runs.provenance import cpu_threads, versions

ROLLOUTS = 32
"""Whose first updates make the baseline. Of 370 windows of 32 in twelve clean runs (2 and 24 layers, updates
of 96 to 768 tokens) none is followed by a false stop; of 418 windows of 16 one is, of 442 of 8 sixteen."""

DRIFT = 2.0
"""Times the largest share of the baseline. After those windows at most 1.21 times is found where it is below
.75; from there on, as with updates of some 96 tokens, nothing is stricter than the fixed multiple."""

SLACK = 0.3
"""Share that is no drift from any baseline, be it 0: clean ones differ by as much from batch to batch."""


@dataclass(frozen=True, kw_only=True)
class MismatchBaseline:
    """What the first update of each of a stage's first rollouts found."""

    rollouts: int = 0
    floors: float = 0.0
    """The sum of their noise floors, in nats per token."""
    largest_share: float = 0.0
    """Of mismatch by noise floor."""

    @property
    def is_complete(self) -> bool:
        """Whether later rollouts are judged by it."""
        return self.rollouts == ROLLOUTS

    @property
    def mean_floor(self) -> float:
        """The noise floor, in nats per token."""
        return self.floors / max(self.rollouts, 1)

    @property
    def allowed_share(self) -> float:
        """How many times the noise floor the mismatch may be without having drifted; any, if that is 0."""
        return max(DRIFT * self.largest_share, SLACK) if self.floors else math.inf

    def after(self, mismatch: float, floor: float) -> "MismatchBaseline":
        """Return the baseline with one rollout more, whose share is 0 where nothing is rounded."""
        return MismatchBaseline(
            rollouts=self.rollouts + 1,
            floors=self.floors + floor,
            largest_share=max(self.largest_share, mismatch / floor if floor else 0.0),
        )


def numerics(mesh: Mesh) -> dict[str, str | int]:
    """Return what a share depends on besides the model: that of another machine is no baseline."""
    axes = {str(axis): size for axis, size in mesh.shape.items()}
    return {**axes, **versions(), "device": jax.local_devices()[0].device_kind, "cpu_threads": cpu_threads()}

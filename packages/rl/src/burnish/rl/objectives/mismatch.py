"""How far the trainer's probabilities are from those the engine sampled with, measured on every update.

On a rollout's first update the two are one policy, and whatever is left is error: other kernels, another
dtype, stale weights. On later ones it is the policy's own movement.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from burnish.llm.batch import TokenBatch
from burnish.llm.objective import Objective, Statistics, columns_of, outputs_of, scalars_of
from burnish.llm.policy import Policy

ABSOLUTE = "mismatch/absolute_logprob_difference"
K3 = "mismatch/k3"
BEHAVIOR = "behavior_logprobs"
"""The sample column of what the engine said of each token."""


@dataclass(frozen=True)
class MeasuredObjective:
    """An objective with the mismatch beside its own statistics; the values are the objective's, untouched."""

    objective: Objective

    @property
    def columns(self) -> frozenset[str]:
        """What the objective reads, and what the engine said."""
        return columns_of(self.objective) | {BEHAVIOR}

    @property
    def scalars(self) -> Mapping[str, float]:
        """The objective's own."""
        return scalars_of(self.objective)

    def __call__(self, policy: Policy, batch: TokenBatch) -> tuple[Float[Array, "..."], Statistics]:
        """Return the objective's values; add mean |d| and k3 = exp(d) - d - 1, d = log(pi / pi_behavior)."""
        values, statistics = outputs_of(self.objective, policy, batch)
        trained = batch.trained
        difference = (policy.logprobs() - batch.columns[BEHAVIOR]) * trained
        k3 = jnp.expm1(jnp.clip(difference, -20.0, 20.0)) - difference
        tokens = jnp.sum(trained)
        return values, {
            **statistics,
            ABSOLUTE: (jnp.sum(jnp.abs(difference)), tokens),
            K3: (jnp.sum(k3 * trained), tokens),
        }


def only_first(number: int, statistics: Statistics) -> Statistics:
    """Return the statistics of a rollout's update `number`, less the mismatch where it is a later one."""
    return {name: value for name, value in statistics.items() if number == 0 or name not in (ABSOLUTE, K3)}

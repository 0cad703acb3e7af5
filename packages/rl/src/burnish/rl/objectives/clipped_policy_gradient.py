"""PPO's clipped surrogate (https://arxiv.org/abs/1707.06347, eq. 7), a clip range for each side."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from burnish.llm.batch import TokenBatch
from burnish.llm.objective import Statistics
from burnish.llm.policy import Policy

MAX_LOG_RATIO = 20.0
"""Log-ratios are cut here before the exponential, so that a stray token gives no infinity."""


@dataclass(frozen=True)
class ClippedPolicyGradientObjective:
    """L_t = -min(rho A_t, clip(rho, 1 - clip_low, 1 + clip_high) A_t) with rho = pi(y_t) / pi_behavior(y_t).

    The old policy is the one that sampled: its log-probabilities come from the engine with the tokens, so no
    pass is spent on them. The clip range is a scalar of the batch: it may move, and all ranges share one
    compiled step.
    """

    clip_low: float = field(compare=False)
    clip_high: float = field(compare=False)
    columns: ClassVar[frozenset[str]] = frozenset({"advantages", "behavior_logprobs"})

    @property
    def scalars(self) -> Mapping[str, float]:
        """The clip range that a run begins with."""
        return {"clip_low": self.clip_low, "clip_high": self.clip_high}

    def __call__(self, policy: Policy, batch: TokenBatch) -> tuple[Float[Array, "b t"], Statistics]:
        """Return the loss of each token, with the share that is clipped and the ratio."""
        advantages, trained = batch.columns["advantages"], batch.trained
        difference = (policy.logprobs() - batch.columns["behavior_logprobs"]) * trained
        ratio = jnp.exp(jnp.clip(difference, -MAX_LOG_RATIO, MAX_LOG_RATIO))
        clipped = jnp.clip(ratio, 1 - batch.scalars["clip_low"], 1 + batch.scalars["clip_high"])
        values = -jnp.minimum(ratio * advantages, clipped * advantages)
        is_clipped = (clipped * advantages < ratio * advantages) * trained
        tokens = jnp.sum(trained)
        return values, {
            "policy/clip_fraction": (jnp.sum(is_clipped), tokens),
            "policy/ratio": (jnp.sum(ratio * trained), tokens),
        }

"""PPO's clipped surrogate (https://arxiv.org/abs/1707.06347, eq. 7), a clip range for each side."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from burnish.llm.batch import TokenBatch
from burnish.llm.objective import Policy, Statistics

MAX_LOG_RATIO = 20.0
"""Log-ratios are cut here before the exponential, so that a stray token gives no infinity."""


@dataclass(frozen=True)
class ClippedPolicyGradientObjective:
    """L_t = -min(rho A_t, clip(rho, 1 - clip_low, 1 + clip_high) A_t) with rho = pi(y_t) / pi_behavior(y_t).

    The old policy is the one that sampled: its log-probabilities come from the engine with the tokens, so no
    pass is spent on them.
    """

    clip_low: float
    clip_high: float
    temperature: float

    def __call__(self, policy: Policy, batch: TokenBatch) -> tuple[Float[Array, "b t"], Statistics]:
        """Return the loss of each token, with the share that is clipped and the ratio."""
        advantages, trained = batch.columns["advantages"], batch.trained
        difference = (policy.logprobs(self.temperature) - batch.columns["behavior_logprobs"]) * trained
        ratio = jnp.exp(jnp.clip(difference, -MAX_LOG_RATIO, MAX_LOG_RATIO))
        clipped = jnp.clip(ratio, 1 - self.clip_low, 1 + self.clip_high)
        values = -jnp.minimum(ratio * advantages, clipped * advantages)
        is_clipped = (clipped * advantages < ratio * advantages) * trained
        tokens = jnp.sum(trained)
        return values, {
            "policy/clip_fraction": (jnp.sum(is_clipped), tokens),
            "policy/ratio": (jnp.sum(ratio * trained), tokens),
        }

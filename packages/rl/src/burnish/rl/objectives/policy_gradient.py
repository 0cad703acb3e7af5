"""The objective of REINFORCE (Williams, 1992)."""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from burnish.llm.batch import TokenBatch
from burnish.llm.objective import Statistics
from burnish.llm.policy import Policy


@dataclass(frozen=True)
class PolicyGradientObjective:
    """L_t = -A_t log pi(y_t); the gradient of the expected reward for samples of the policy itself."""

    columns: ClassVar[frozenset[str]] = frozenset({"advantages"})

    def __call__(self, policy: Policy, batch: TokenBatch) -> tuple[Float[Array, "b t"], Statistics]:
        """Return the loss of each token."""
        logprobs = policy.logprobs()
        return -batch.columns["advantages"] * logprobs, {
            "policy/logprob": (jnp.sum(logprobs * batch.trained), jnp.sum(batch.trained))
        }

"""The objective of direct preference optimization."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from burnish.llm import Policy, TokenBatch
from burnish_dpo.pairs import REFERENCE


@dataclass(frozen=True)
class PreferenceObjective:
    """-log sigmoid(beta (g_chosen - g_rejected)) with g = log pi(y | x) - log pi_reference(y | x).

    That is eq. 7 of https://arxiv.org/abs/2305.18290. A row of the batch is a pair.
    """

    beta: float
    columns: ClassVar[frozenset[str]] = frozenset({REFERENCE})

    def __call__(
        self, policy: Policy, batch: TokenBatch
    ) -> tuple[jax.Array, Mapping[str, tuple[jax.Array, jax.Array]]]:
        """Return the loss of each pair [b s], the same for both its sequences, and two statistics."""
        gains_bs = policy.per_sequence(policy.logprobs() - batch.columns[REFERENCE], "sum")
        margins_b = gains_bs[:, 0] - gains_bs[:, 1]
        losses_b = -jax.nn.log_sigmoid(self.beta * margins_b)
        is_pair_b = jnp.any(batch.trained > 0, axis=1)
        num_pairs = jnp.sum(is_pair_b)
        return jnp.stack([losses_b, losses_b], axis=1), {
            "dpo/accuracy": (jnp.sum((margins_b > 0) & is_pair_b), num_pairs),
            "dpo/margin": (jnp.sum(margins_b * is_pair_b), num_pairs),
        }

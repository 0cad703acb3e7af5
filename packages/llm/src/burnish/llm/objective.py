"""What is trained: an objective maps a policy and a batch to one value per token, never to a mean.

The step multiplies the values by `batch.weights` and sums them, over micro-batches and devices; how tokens
are averaged is in the weights alone. The cross-entropy objective stands here; those of reinforcement learning
are components of their own package.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32

from burnish.llm.batch import TokenBatch
from burnish.llm.families.protocol import CausalLM
from burnish.llm.logprobs import linear_logprobs

Statistics = Mapping[str, tuple[Any, Any]]
"""Name to scalars (sum, count): what is reported is the sum of sums over the sum of counts."""


class Policy:
    """The model's view of one batch, inside a trace; what nobody calls is not computed.

    `hidden` [b t d] and `head` [d v] stand by for objectives that need more than log-probabilities.
    """

    def __init__(
        self, hidden: Float[Array, "b t d"], head: Float[Array, "d v"], batch: TokenBatch, chunk: int
    ) -> None:
        """Hold hidden states and head; `chunk` is the number of positions whose logits exist at one time."""
        self.hidden = hidden
        self.head = head
        self._batch = batch
        self._chunk = chunk
        self._computed: dict[Any, tuple[Array, Array]] = {}

    def logprobs(self, temperature: float = 1.0) -> Float32[Array, "b t"]:
        """Return log p(tokens[t] | tokens before t in its segment), from the hidden state at t - 1.

        Entries that have no such meaning, padding and the first of each segment, are 0.
        """
        return self._predictions(temperature)[0]

    def entropy(self, temperature: float = 1.0) -> Float32[Array, "b t"]:
        """Return the entropy in nats of the distribution that `logprobs` scores tokens under."""
        return self._predictions(temperature)[1]

    def _predictions(self, temperature: float) -> tuple[Array, Array]:
        if temperature not in self._computed:
            targets = self._batch.tokens[:, 1:]
            both = linear_logprobs(self.hidden[:, :-1], self.head, targets, temperature, self._chunk)
            follows = _follows(self._batch)
            logprobs, entropy = (jnp.where(follows, jnp.pad(output, ((0, 0), (1, 0))), 0) for output in both)
            self._computed[temperature] = (logprobs, entropy)
        return self._computed[temperature]


@runtime_checkable
class Objective(Protocol):
    """A hashable callable traced inside the step; equal objectives share one compiled step."""

    def __call__(self, policy: Policy, batch: TokenBatch) -> tuple[Float[Array, ...], Statistics]:
        """Return the values to minimise, [b t] per token or [b] per row, and statistics as (sum, count).

        A value must be finite also where its weight is 0.
        """
        ...


def policy_of(model: CausalLM, params: Mapping[str, Any], batch: TokenBatch, chunk: int = 1024) -> Policy:
    """Run the model over a batch and return the policy that scores it."""
    hidden, _ = model.forward(dict(params), batch.tokens, batch.positions, batch.segment_ids)
    return Policy(hidden, model.head(dict(params)), batch, chunk)


def cross_entropy(policy: Policy, batch: TokenBatch) -> tuple[Float32[Array, "b t"], Statistics]:
    """Return -log p of each token, and its mean over the trained tokens as a statistic."""
    values = -policy.logprobs()
    trained = batch.trained
    return values, {"cross_entropy": (jnp.sum(values * trained), jnp.sum(trained))}


def weighted_sum(values: Float[Array, ...], batch: TokenBatch) -> Float32[Array, ""]:
    """Return sum(values * weights) in fp32; a value per row is weighed by the sum of its row's weights."""
    weights = batch.weights if values.ndim == 2 else jnp.sum(batch.weights, axis=1)
    return jnp.sum(jnp.where(weights != 0, values.astype(jnp.float32) * weights, 0))


def _follows(batch: TokenBatch) -> Bool[Array, "b t"]:
    """Say where a token continues the segment of the token before it."""
    segments = batch.segment_ids
    continues = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
    return jnp.pad(continues, ((0, 0), (1, 0)))

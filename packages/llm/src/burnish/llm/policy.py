"""What the model says of a batch, inside a trace; only what is called is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Key

from burnish.llm.batch import TokenBatch
from burnish.llm.families.protocol import CausalLM
from burnish.llm.families.routing import RouterSums
from burnish.llm.head import Head, require_logits
from burnish.llm.logprobs import Predictions, linear_logprobs
from burnish.llm.noise import noise_of, token_keys
from burnish.llm.sequence import TEMPERATURE


class Policy:
    """The model's view of one batch.

    `hidden` [b t d], `head` and `params` stand by for objectives that need more than predictions.
    Entry t of every prediction is about `tokens[t]`; entries without a meaning, padding and what nothing
    precedes, are 0.
    """

    def __init__(
        self,
        hidden: Float[Array, "b t d"],
        head: Head | Float[Array, "d v"],
        batch: TokenBatch,
        *,
        params: Mapping[str, Any],
        router: RouterSums | None = None,
        chunk: int = 1024,
    ) -> None:
        """Hold them; `chunk` is the number of positions whose logits exist at one time."""
        self.hidden = hidden
        self.head = head
        self.params = params
        self._router = router
        self._batch = batch
        self._chunk = chunk
        self._predictions: Predictions | None = None

    @property
    def has_predicted(self) -> bool:
        """Whether a prediction has been asked for: another one is then a sum over the same logits."""
        return self._predictions is not None

    def logprobs(self) -> Float32[Array, "b t"]:
        """Return log p(tokens[t] | what its sequence has before it), at the temperature it was sampled at."""
        return self._predicted().logprob

    def entropy(self) -> Float32[Array, "b t"]:
        """Return the entropy in nats of the distribution that `logprobs` scores tokens under."""
        return self._predicted().entropy

    def log_normalizer(self) -> Float32[Array, "b t"]:
        """Return the log of the sum of the exponentials of the logits."""
        return self._predicted().log_normalizer

    def is_argmax(self) -> Float32[Array, "b t"]:
        """Return 1 where the token is the likeliest one, else 0."""
        return self._predicted().is_argmax

    def per_sequence(
        self, values: Float[Array, "b t"], reduce: Literal["sum", "mean"]
    ) -> Float32[Array, "b s"]:
        """Return the sum or the mean of the values over each sequence's trained tokens; 0 where it has none.

        Column j is the sequence that `batch.sequences` numbers j + 1.
        """
        batch = self._batch
        members = jax.nn.one_hot(batch.sequences - 1, batch.max_sequences, dtype=jnp.float32)
        members *= jnp.asarray(batch.trained)[..., None]
        # A value without weight may be anything but must not turn 0 * value into NaN.
        kept = jnp.where(jnp.asarray(batch.trained) > 0, values.astype(jnp.float32), 0)
        precision = jax.lax.Precision.HIGHEST
        sums = jnp.einsum("bt,bts->bs", kept, members, precision=precision)
        return sums if reduce == "sum" else sums / jnp.maximum(jnp.sum(members, axis=1), 1)

    def routed(self) -> RouterSums:
        """Return what the routers of a model with experts say of the batch's tokens."""
        assert self._router is not None, "a model without experts has no routers"
        return self._router

    def keys(self) -> Key[Array, "b t"]:
        """Return one random key per token to draw from, see `burnish.llm.noise.token_keys`."""
        return token_keys(self._batch)

    def _predicted(self) -> Predictions:
        if self._predictions is None:
            require_logits(self.head, "objective")
            outputs = self._shifted() if self._batch.predecessors is None else self._gathered()
            follows = _follows(self._batch)
            self._predictions = Predictions(*(jnp.where(follows, output, 0) for output in outputs))
        return self._predictions

    def _shifted(self) -> list[Array]:
        """Predict each token from the one before it in its row."""
        tokens, temperature = self._batch.tokens, _temperature(self._batch)
        at = 1.0 if temperature is None else temperature[:, 1:]
        outputs = linear_logprobs(self.hidden[:, :-1], self.head, tokens[:, 1:], at, self._chunk)
        return [jnp.pad(output, ((0, 0), (1, 0))) for output in outputs]

    def _gathered(self) -> Predictions:
        """Predict each token from its predecessor, which several may share."""
        temperature = _temperature(self._batch)
        at = 1.0 if temperature is None else temperature
        indices = jnp.maximum(jnp.asarray(self._batch.predecessors), 0)[..., None]
        hidden = jnp.take_along_axis(self.hidden, indices, axis=1)
        return linear_logprobs(hidden, self.head, self._batch.tokens, at, self._chunk)


def policy_of(
    model: CausalLM, params: Mapping[str, Any], batch: TokenBatch, chunk: int = 1024, *, dropout: float = 0.0
) -> Policy:
    """Run the model over a batch, in training with `dropout`, and return the policy that scores it."""
    output = model.forward(
        dict(params),
        batch.tokens,
        batch.positions,
        batch.segment_ids,
        visible_until=batch.visible_until,
        noise=noise_of(batch, dropout),
    )
    head = model.head(dict(params))
    return Policy(output.hidden, head, batch, params=params, router=output.router, chunk=chunk)


def _temperature(batch: TokenBatch) -> Float32[Array, "b t"] | None:
    """Return what the logits of each token were divided by; greedy tokens, like written ones, by 1."""
    if TEMPERATURE not in batch.columns:
        return None
    column = batch.columns[TEMPERATURE]
    return jnp.where(column > 0, column, 1.0)


def _follows(batch: TokenBatch) -> Bool[Array, "b t"]:
    """Say where a token has a predecessor in its segment."""
    if batch.predecessors is not None:
        return batch.predecessors >= 0
    segments = batch.segment_ids
    continues = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
    return jnp.pad(continues, ((0, 0), (1, 0)))

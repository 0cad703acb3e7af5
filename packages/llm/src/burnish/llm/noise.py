"""Noise of a training step, keyed by step, sample and position.

No key depends on a shape, a row or a micro-batch, so noise stays with its token where that is laid elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from burnish.llm.batch import TokenBatch
from burnish.platform.device.keys import fold_words

_FORWARD = 1
"""Sets the keys of the forward pass apart from those that an objective draws from."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What the forward pass draws while it is trained."""

    keys: Key[Array, "b t"]
    dropout: float
    """Probability that an entry is dropped."""

    def at(self, place: int | Array) -> Noise:
        """Return the noise of one place of the model, such as a layer, independent of that of all others."""
        return replace(self, keys=_fold(self.keys, place))

    def drop(self, values: Float[Array, "b t d"], place: int) -> Float[Array, "b t d"]:
        """Set each entry to 0 with probability `dropout` and divide what is kept by 1 - `dropout`."""
        kept = 1.0 - self.dropout

        def draw(key: Key[Array, ""]) -> Array:
            return jax.random.bernoulli(key, kept, (values.shape[-1],))

        is_kept = jax.vmap(jax.vmap(draw))(_fold(self.keys, place))
        return jnp.where(is_kept, values / kept, 0).astype(values.dtype)


def noise_of(batch: TokenBatch, dropout: float) -> Noise | None:
    """Return the noise of a batch's forward pass; None where nothing is dropped."""
    return Noise(keys=_fold(token_keys(batch), _FORWARD), dropout=dropout) if dropout else None


def token_keys(batch: TokenBatch) -> Key[Array, "b t"]:
    """Return one random key per token: a function of the step's words, its sample and its position.

    Raises `ValueError` for a batch without words.
    """
    if batch.noise_words is None:
        raise ValueError("the step was not given `key_words` to draw noise from")
    step_key = fold_words(jnp.asarray(batch.noise_words, jnp.uint32)[None])[0]

    def key_of(sample_id: Array, position: Array) -> Key[Array, ""]:
        return jax.random.fold_in(jax.random.fold_in(step_key, sample_id), position)

    return jax.vmap(jax.vmap(key_of))(batch.sample_ids, batch.positions)


def _fold(keys: Key[Array, "b t"], word: int | Array) -> Key[Array, "b t"]:
    return jax.vmap(jax.vmap(jax.random.fold_in, (0, None)), (0, None))(keys, word)

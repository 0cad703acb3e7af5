"""The balance loss of a model with experts, which a train step adds to that of the objective.

Of a layer it is e * sum_i f_i * P_i over its e experts (https://arxiv.org/abs/2101.03961, eq. 4 to 6): f_i is
the share of tokens that take expert i, P_i its mean probability, both over the whole batch without padding.
Where each token takes k experts and all are taken alike it is k. The loss is the mean over layers; that of
transformers is the same for a model of one layer, and for several multiplies means over all their layers.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float32

from burnish.llm.families.protocol import Balances, CausalLM
from burnish.llm.families.routing import RouterSums
from burnish.platform.errors import ConfigError


class BatchRouting(NamedTuple):
    """What the balance loss of a part of a batch needs to know of the whole."""

    counts: Float32[Array, "l e"]
    """Tokens that take an expert."""
    num_tokens: Float32[Array, ""]


def coefficient_of(option: float | Literal["auto"], model: CausalLM) -> float:
    """Return the factor of the balance loss; ConfigError for one of a model without experts."""
    of_config = model.balance_coefficient if isinstance(model, Balances) else None
    if option == "auto":
        return of_config or 0.0
    if option > 0 and of_config is None:
        raise ConfigError(
            f"balance_coefficient={option}: the model has no experts to be balanced; leave it at auto, or 0"
        )
    return option


def balance_loss(sums: RouterSums, batch: BatchRouting) -> Float32[Array, ""]:
    """Return what the tokens of `sums` add to the loss of their batch; gradients flow through probabilities.

    Over the parts of a batch it sums to the whole: how many tokens take an expert is a constant of the batch.
    """
    fractions = lax.stop_gradient(batch.counts) / batch.num_tokens
    products = fractions * sums.probabilities / batch.num_tokens
    return products.shape[-1] * jnp.mean(jnp.sum(products, axis=-1))

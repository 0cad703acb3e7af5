"""The head of a language model, and the logits that it makes of hidden states."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from burnish.llm.precision import exact_for
from burnish.platform.errors import ConfigError


@partial(jax.tree_util.register_dataclass, data_fields=("matrix", "bias"), meta_fields=("softcap",))
@dataclass(frozen=True, kw_only=True)
class Head:
    """What maps hidden states to logits."""

    matrix: Float[Array, "d v"]
    bias: Float[Array, " v"] | None = None
    softcap: float | None = None
    """A logit z becomes softcap * tanh(z / softcap); None leaves it."""

    def logits(self, hidden: Float[Array, "... d"]) -> Float32[Array, "... v"]:
        """Return the logits of every hidden state, in fp32."""
        logits = jnp.einsum(
            "...d,dv->...v",
            hidden,
            self.matrix,
            precision=exact_for(hidden),
            preferred_element_type=jnp.float32,
        )
        if self.bias is not None:
            logits += jnp.expand_dims(self.bias.astype(jnp.float32), tuple(range(logits.ndim - 1)))
        return logits if self.softcap is None else self.softcap * jnp.tanh(logits / self.softcap)


def require_logits(head: Head | Float[Array, "d v"], who: str) -> None:
    """Raise ConfigError where `who` needs logits of tokens and the head gives one score per token."""
    matrix = head.matrix if isinstance(head, Head) else head
    if matrix.shape[-1] == 1:
        raise ConfigError(
            f"{who}: this model gives one score per token and no logits of tokens; use the model without "
            "`scalar_head`, or an objective that reads `policy.head.logits(policy.hidden)`"
        )

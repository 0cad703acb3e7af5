"""AdamW."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import optax

from burnish.llm.families.protocol import CausalLM
from burnish.llm.optimizer import TracedOptimizer
from burnish.llm.optimizers.matrices import decay_mask
from burnish.llm.optimizers.moments import MomentDtype, stored_as
from burnish.llm.optimizers.schedules import Schedule


def adamw(
    schedule: Schedule,
    model: CausalLM,
    *,
    b1: float,
    b2: float,
    eps: float,
    weight_decay: float,
    moment_dtype: MomentDtype,
) -> TracedOptimizer:
    """Return AdamW (https://arxiv.org/abs/1711.05101); its learning rate and betas can be moved."""
    mask = decay_mask(model)

    def hyper(num_updates: Any) -> Mapping[str, Any]:
        return {"learning_rate": schedule(num_updates), "b1": jnp.float32(b1), "b2": jnp.float32(b2)}

    def transformation(hyper: Mapping[str, Any]) -> optax.GradientTransformation:
        exact = optax.adamw(**hyper, eps=eps, weight_decay=weight_decay, mask=mask)
        return stored_as(moment_dtype, exact)

    return TracedOptimizer(hyper, transformation)

"""Lion."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import optax

from burnish.llm.families.protocol import CausalLM
from burnish.llm.optimizer import TracedOptimizer
from burnish.llm.optimizers.matrices import decay_mask
from burnish.llm.optimizers.schedules import Schedule


def lion(
    schedule: Schedule, model: CausalLM, *, b1: float, b2: float, weight_decay: float
) -> TracedOptimizer:
    """Return Lion (https://arxiv.org/abs/2302.06675); its learning rate and betas can be moved."""
    mask = decay_mask(model)

    def hyper(num_updates: Any) -> Mapping[str, Any]:
        return {"learning_rate": schedule(num_updates), "b1": jnp.float32(b1), "b2": jnp.float32(b2)}

    def transformation(hyper: Mapping[str, Any]) -> optax.GradientTransformation:
        return optax.lion(**hyper, weight_decay=weight_decay, mask=mask)

    return TracedOptimizer(hyper, transformation)

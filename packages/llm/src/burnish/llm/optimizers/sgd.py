"""Stochastic gradient descent."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import optax

from burnish.llm.families.protocol import CausalLM
from burnish.llm.optimizer import TracedOptimizer
from burnish.llm.optimizers.matrices import decay_mask
from burnish.llm.optimizers.schedules import Schedule


def sgd(
    schedule: Schedule, model: CausalLM, *, momentum: float, nesterov: bool, weight_decay: float
) -> TracedOptimizer:
    """Return descent along a trace of gradients, m = momentum m + g; without momentum it keeps no state.

    Its learning rate can be moved, and its momentum where there is one.
    """
    mask = decay_mask(model)

    def hyper(num_updates: Any) -> Mapping[str, Any]:
        moved = {"momentum": jnp.float32(momentum)} if momentum else {}
        return {"learning_rate": schedule(num_updates), **moved}

    def transformation(hyper: Mapping[str, Any]) -> optax.GradientTransformation:
        traces = [optax.trace(hyper["momentum"], nesterov)] if momentum else []
        return optax.chain(
            *traces,
            optax.add_decayed_weights(weight_decay, mask),
            optax.scale_by_learning_rate(hyper["learning_rate"]),
        )

    return TracedOptimizer(hyper, transformation)

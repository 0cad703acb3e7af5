"""AdamW with its learning-rate schedules, and which parameters decay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float32

from burnish.llm.config.optimizer import AdamW

Schedule = Callable[[Any], Float32[Array, ""]]
"""Number of updates made so far to the learning rate of the next one."""


class ScheduledOptimizer(NamedTuple):
    """An optax optimizer with the schedule that its learning rate is reported by.

    One that builds a plain `optax.GradientTransformation` trains as well, its rate is not reported.
    """

    init: optax.TransformInitFn
    update: optax.TransformUpdateFn
    learning_rate: Schedule


def build_adamw(options: AdamW, total_steps: int) -> ScheduledOptimizer:
    """Return AdamW (https://arxiv.org/abs/1711.05101) whose schedule ends after `total_steps` updates."""
    schedule = learning_rate_schedule(options, total_steps)
    transformation = optax.adamw(
        schedule,
        b1=options.b1,
        b2=options.b2,
        eps=options.eps,
        weight_decay=options.weight_decay,
        mask=decay_mask,
    )
    return ScheduledOptimizer(transformation.init, transformation.update, schedule)


def learning_rate_schedule(options: AdamW, total_steps: int) -> Schedule:
    """Return the schedule: warm-up to the peak, then the shape that `options.schedule` names.

    With s updates made, w warm-up steps and n in total: (s + 1) / (w + 1) of the peak while s < w. After that
    and with x = (s - w) / (n - w): `constant` 1, `linear` 1 - x, `cosine` (1 + cos(pi x)) / 2, and
    `warmup_stable_decay` 1 until the last `decay_fraction` of all n steps, then linearly down. Every update
    within `total_steps` is made at a rate above zero.
    """
    peak, warmup = options.learning_rate, options.warmup_steps
    decay_start = warmup
    if options.schedule == "warmup_stable_decay":
        decay_start = max(warmup, round(total_steps * (1.0 - options.decay_fraction)))
    decay_steps = max(total_steps - decay_start, 1)

    def learning_rate(num_updates: Any) -> Float32[Array, ""]:
        made = jnp.asarray(num_updates, jnp.float32)
        rising = (made + 1.0) / (warmup + 1.0)
        progress = jnp.clip((made - decay_start) / decay_steps, 0.0, 1.0)
        if options.schedule == "constant":
            share = jnp.ones_like(made)
        elif options.schedule == "cosine":
            share = 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
        else:
            share = 1.0 - progress
        return peak * jnp.where(made < warmup, rising, share)

    return learning_rate


def decay_mask(params: Any) -> Any:
    """Return a tree of booleans: True where a leaf decays, which norms, biases and other vectors do not.

    A leaf below `layers` is stacked: its first dim counts layers and makes no matrix of a vector. A bias may
    keep its heads apart and is told by its name.
    """
    return jax.tree_util.tree_map_with_path(_decays, params)


def _decays(path: tuple[Any, ...], leaf: Any) -> bool:
    names = [str(getattr(entry, "key", entry)) for entry in path]
    num_dims = leaf.ndim - ("layers" in names)
    return num_dims >= 2 and not any("bias" in name or "norm" in name for name in names)

"""Learning rates as functions of the updates made so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float32

Shape = Literal["constant", "linear", "cosine", "warmup_stable_decay"]
Schedule = Callable[[Any], Float32[Array, ""]]
"""Number of updates made so far to the learning rate of the next one."""


def learning_rate_schedule(
    shape: Shape, *, peak: float, warmup_steps: int, decay_fraction: float, total_steps: int
) -> Schedule:
    """Return the schedule: warm-up to the peak, then what `shape` names.

    With s updates made, w warm-up steps and n in total: (s + 1) / (w + 1) of the peak while s < w. After that
    and with x = (s - w) / (n - w): `constant` 1, `linear` 1 - x, `cosine` (1 + cos(pi x)) / 2, and
    `warmup_stable_decay` 1 until the last `decay_fraction` of all n steps, then linearly down. Every update
    within `total_steps` is made at a rate above zero.
    """
    decay_start = warmup_steps
    if shape == "warmup_stable_decay":
        decay_start = max(warmup_steps, round(total_steps * (1.0 - decay_fraction)))
    decay_steps = max(total_steps - decay_start, 1)

    def learning_rate(num_updates: Any) -> Float32[Array, ""]:
        made = jnp.asarray(num_updates, jnp.float32)
        rising = (made + 1.0) / (warmup_steps + 1.0)
        progress = jnp.clip((made - decay_start) / decay_steps, 0.0, 1.0)
        if shape == "constant":
            share = jnp.ones_like(made)
        elif shape == "cosine":
            share = 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
        else:
            share = 1.0 - progress
        return peak * jnp.where(made < warmup_steps, rising, share)

    return learning_rate

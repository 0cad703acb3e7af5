"""What an optimizer is, AdamW with its learning-rate schedules, and which parameters decay."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float32

from burnish.llm.families.protocol import CausalLM
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.conformance import built, conforming

Shape = Literal["constant", "linear", "cosine", "warmup_stable_decay"]
Schedule = Callable[[Any], Float32[Array, ""]]
"""Number of updates made so far to the learning rate of the next one."""


@dataclass(frozen=True, kw_only=True)
class OptimizerContext:
    """What an optimizer may be built from."""

    total_steps: int
    """Optimizer steps of the whole stage."""

    model: CausalLM

    artifacts: Artifacts = field(default_factory=Artifacts)
    """What stages before have made, as far as the component's `needs` name it."""


@dataclass(frozen=True)
class TracedOptimizer:
    """An optax optimizer whose hyper-parameters are arguments of the compiled step, not constants in it."""

    hyper: Callable[[Any], Mapping[str, Any]]
    """From the number of updates made so far to the hyper-parameters of the next one, by name."""

    transformation: Callable[[Mapping[str, Any]], optax.GradientTransformation]
    """From hyper-parameters to the transformation; the layout of its state must not depend on them."""

    def names(self) -> list[str]:
        """Return the names of the hyper-parameters; computes nothing."""
        return list(jax.eval_shape(self.hyper, 0))

    def blank(self) -> optax.GradientTransformation:
        """Return a transformation that is good for the layout of its state alone."""
        return self.transformation(dict.fromkeys(self.names(), 0.0))


class OptimizerComponent(Hashable, Protocol):
    """The options of an optimizer; hashable, for it is part of what a compiled step is known by."""

    def build(self, context: OptimizerContext) -> TracedOptimizer | optax.GradientTransformation:
        """Return the optimizer; one of plain optax trains as well, and nothing of it can be moved."""
        ...


class Transformation(Protocol):
    """What optax makes, whatever class it is of."""

    @property
    def init(self) -> Callable[..., Any]:
        """Return what makes the state from parameters."""
        ...

    @property
    def update(self) -> Callable[..., Any]:
        """Return what turns gradients and state into updates and state."""
        ...


def traced(component: OptimizerComponent, context: OptimizerContext) -> TracedOptimizer:
    """Return what a component builds, a plain transformation as an optimizer without hyper-parameters."""
    made: Any = built("optimizer", component, object, context)
    if isinstance(made, TracedOptimizer):
        return made
    conforming("optimizer", component, made, Transformation)
    return TracedOptimizer(lambda _: {}, lambda _: made)


def adamw(schedule: Schedule, *, b1: float, b2: float, eps: float, weight_decay: float) -> TracedOptimizer:
    """Return AdamW (https://arxiv.org/abs/1711.05101); its learning rate and betas can be moved."""

    def hyper(num_updates: Any) -> Mapping[str, Any]:
        return {"learning_rate": schedule(num_updates), "b1": jnp.float32(b1), "b2": jnp.float32(b2)}

    def transformation(hyper: Mapping[str, Any]) -> optax.GradientTransformation:
        return optax.adamw(**hyper, eps=eps, weight_decay=weight_decay, mask=decay_mask)

    return TracedOptimizer(hyper, transformation)


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

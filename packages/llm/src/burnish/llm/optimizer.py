"""The slot `optimizer`: what an optimizer is, what it may be built from, and what trains with it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import optax

from burnish.llm.families.protocol import CausalLM
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.conformance import built, conforming


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

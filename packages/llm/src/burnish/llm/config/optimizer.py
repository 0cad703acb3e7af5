"""The optimizers of this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from burnish.llm.config.schedule import Scheduled
from burnish.platform.configuration.ranges import Count, Positive, PositiveOrInfinite, ShareBelowOne
from burnish.platform.errors import ConfigError

if TYPE_CHECKING:
    from burnish.llm.optimizer import OptimizerContext, TracedOptimizer


@dataclass(frozen=True, kw_only=True)
class AdamW(Scheduled):
    """AdamW with a learning-rate schedule."""

    b1: ShareBelowOne = 0.9
    """Decay of the first moment."""

    b2: ShareBelowOne = 0.999
    """Decay of the second moment."""

    eps: Positive = 1e-8
    """Added to the root of the second moment."""

    moment_dtype: Literal["float32", "bfloat16"] = "float32"
    """What both moments are stored in between updates; `bfloat16` takes half the bytes, and is rounded by
    chance, so that it is right on average."""

    def build(self, context: OptimizerContext) -> TracedOptimizer:
        """Return the optimizer."""
        from burnish.llm.optimizers.adamw import adamw

        return adamw(
            self.learning_rates(context),
            context.model,
            b1=self.b1,
            b2=self.b2,
            eps=self.eps,
            weight_decay=self.weight_decay,
            moment_dtype=self.moment_dtype,
        )


@dataclass(frozen=True, kw_only=True)
class Lion(Scheduled):
    """Lion: steps of one size by the sign of a mean of gradients; half of AdamW's state."""

    learning_rate: Positive = 2e-6
    """Peak learning rate; a third to a tenth of what suits AdamW."""

    b1: ShareBelowOne = 0.9
    """Share of the moment in the mean with the gradient whose sign is the update."""

    b2: ShareBelowOne = 0.99
    """Decay of the moment."""

    def build(self, context: OptimizerContext) -> TracedOptimizer:
        """Return the optimizer."""
        from burnish.llm.optimizers.lion import lion

        rates = self.learning_rates(context)
        return lion(rates, context.model, b1=self.b1, b2=self.b2, weight_decay=self.weight_decay)


@dataclass(frozen=True, kw_only=True)
class SGD(Scheduled):
    """Stochastic gradient descent; without momentum it has no state."""

    learning_rate: Positive = 1e-2
    """Peak learning rate."""

    momentum: ShareBelowOne = 0.0
    """Decay of the sum of gradients that is followed; 0 follows each gradient by itself."""

    nesterov: bool = False
    """Whether to follow the sum as it will be one step later; it needs momentum."""

    def __post_init__(self) -> None:
        """Refuse numbers out of range, and Nesterov's sum where there is none."""
        super().__post_init__()
        if self.nesterov and not self.momentum:
            raise ConfigError("nesterov=true needs momentum, which is 0; set momentum=0.9, or nesterov=false")

    def build(self, context: OptimizerContext) -> TracedOptimizer:
        """Return the optimizer."""
        from burnish.llm.optimizers.sgd import sgd

        return sgd(
            self.learning_rates(context),
            context.model,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )


@dataclass(frozen=True, kw_only=True)
class Adafactor(Scheduled):
    """Adafactor without a first moment: its state is one number per row and column of a matrix."""

    learning_rate: Positive = 1e-3
    """Peak learning rate, relative to each parameter's size unless `scale_parameter` is off."""

    decay_rate: Positive = 0.8
    """Second moments decay by 1 - t^-decay_rate in update t."""

    eps: Positive = 1e-30
    """Added to each squared gradient."""

    clip_threshold: PositiveOrInfinite = 1.0
    """Largest root mean square of a matrix's update, before the learning rate; `.inf` clips nothing."""

    scale_parameter: bool = True
    """Whether updates are multiplied by the root mean square of the parameters, .001 at least."""

    min_dim_size_to_factor: Count = 128
    """A leaf of which fewer than two dims have this size keeps its second moments whole."""

    def build(self, context: OptimizerContext) -> TracedOptimizer:
        """Return the optimizer."""
        from burnish.llm.optimizers.adafactor import adafactor

        return adafactor(
            self.learning_rates(context),
            context.model,
            decay_rate=self.decay_rate,
            eps=self.eps,
            clip_threshold=self.clip_threshold,
            scale_parameter=self.scale_parameter,
            min_dim_size_to_factor=self.min_dim_size_to_factor,
            weight_decay=self.weight_decay,
        )


@dataclass(frozen=True, kw_only=True)
class Muon(Scheduled):
    """Muon for the matrices of the layers, AdamW for embedding, head, norms and biases."""

    momentum: ShareBelowOne = 0.95
    """Decay of the first moment of Muon's matrices."""

    nesterov: bool = True
    """Whether Muon follows its moment as it will be one step later."""

    newton_schulz_steps: Count = 5
    """Iterations that make an update orthogonal."""

    b1: ShareBelowOne = 0.9
    """Decay of AdamW's first moment."""

    b2: ShareBelowOne = 0.999
    """Decay of AdamW's second moment."""

    eps: Positive = 1e-8
    """Added to the root of AdamW's second moment."""

    def build(self, context: OptimizerContext) -> TracedOptimizer:
        """Return the optimizer."""
        from burnish.llm.optimizers.muon import muon

        return muon(
            self.learning_rates(context),
            context.model,
            momentum=self.momentum,
            nesterov=self.nesterov,
            newton_schulz_steps=self.newton_schulz_steps,
            b1=self.b1,
            b2=self.b2,
            eps=self.eps,
            weight_decay=self.weight_decay,
        )

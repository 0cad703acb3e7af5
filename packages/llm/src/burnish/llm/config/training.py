"""The training backend of this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from burnish.llm.config.training_options import StepOptions

if TYPE_CHECKING:
    from burnish.llm.families.protocol import CausalLM
    from burnish.llm.partition import Partition
    from burnish.llm.training import TrainingBackend, TrainingContext


@dataclass(frozen=True, kw_only=True)
class JaxTraining(StepOptions):
    """The training step on the devices of this run, one jit per optimizer step."""

    def trained(self, model: CausalLM) -> tuple[CausalLM, Partition]:
        """Return the model itself, and which of its parameters are trained."""
        from burnish.llm.partition import Partition

        return model, Partition(tuple(self.frozen), tuple(self.trainable_rows.items()))

    def build(self, context: TrainingContext) -> TrainingBackend:
        """Return the backend over the context's parameters, with a fresh optimizer."""
        from burnish.llm.jax_training import JaxTrainingBackend

        return JaxTrainingBackend(
            context,
            layout=self.layout(context),
            settings=self.settings(context),
            max_grad_norm=self.max_grad_norm,
        )

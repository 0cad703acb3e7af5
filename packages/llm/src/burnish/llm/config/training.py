"""The training backend of this package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from burnish.llm.config.training_options import StepOptions

if TYPE_CHECKING:
    from burnish.llm.families.protocol import CausalLM
    from burnish.llm.partition import Partition
    from burnish.llm.training import TrainingBackend, TrainingContext
    from burnish.platform.configuration.config import MeshConfig


@dataclass(frozen=True, kw_only=True)
class JaxTraining(StepOptions):
    """The training step on the devices of this run, one jit per optimizer step."""

    def check(self, num_rows: int, mesh: MeshConfig, model: Callable[[], CausalLM] | None) -> None:
        """Refuse rows that do not divide into micro-batches and devices, and patterns of other models."""
        self.check_step(num_rows, mesh, model)
        if (self.frozen or self.trainable_rows) and model is not None:
            self._partition().check(model().abstract("float32"))

    def plan(
        self, context: TrainingContext, *, num_rows: int, length: int, num_columns: int
    ) -> Mapping[str, int | float | str]:
        """Return the arithmetic of one update's batch and the bytes of the state; allocates nothing."""
        from burnish.llm.footprint import training_plan

        return training_plan(
            context,
            model=context.model,
            partition=self._partition(),
            micro_batch_rows=self.micro_batch_rows,
            num_rows=num_rows,
            length=length,
            num_columns=num_columns,
        )

    def build(self, context: TrainingContext) -> TrainingBackend:
        """Return the backend over the context's parameters, with a fresh optimizer."""
        from burnish.llm.jax_training import JaxTrainingBackend

        return JaxTrainingBackend(context, partition=self._partition(), **self.step_arguments(context))

    def _partition(self) -> Partition:
        from burnish.llm.partition import Partition

        return Partition(tuple(self.frozen), tuple(self.trainable_rows.items()))

"""Training of low-rank updates (LoRA) on the devices of this run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from burnish.llm.config.training_options import StepOptions
from burnish.platform.configuration.ranges import Count, Positive
from burnish.platform.errors import ConfigError

if TYPE_CHECKING:
    from burnish.llm.batch import TokenBatch
    from burnish.llm.families.protocol import CausalLM
    from burnish.llm.lora.model import AdaptedLM
    from burnish.llm.objective import Objective
    from burnish.llm.partition import Partition
    from burnish.llm.training import TrainingBackend, TrainingContext


@dataclass(frozen=True, kw_only=True)
class LoRA(StepOptions):
    """Low-rank updates of frozen matrices (LoRA); engines and exports get matrices with the updates in them.

    A learning rate ten times that of training in full suits it.
    """

    rank: Count = 16
    """Rank of each update: what is trained of a matrix from d to f is rank x (d + f) numbers."""

    alpha: Positive = 32.0
    """An update is multiplied with this over the rank, or its root."""

    targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    """The matrices of the layers that are adapted, by patterns of their paths: `layers/attention`,
    `layers/mlp/up`. `all-linear` is all but those of experts and routers."""

    scaling: Literal["alpha_over_rank", "rslora"] = "alpha_over_rank"
    """What an update is multiplied with: alpha / rank, or alpha / sqrt(rank), which suits higher ranks."""

    dora: bool = False
    """Whether the norms of a matrix's columns are trained apart from their directions (DoRA)."""

    trainable: tuple[str, ...] = ()
    """Parameters of the model that are trained in full beside the updates, by patterns of their paths. Others
    are frozen, but for the rows that `trainable_rows` names; `frozen` may name parts of the updates."""

    checkpoint: Literal["all", "adapters"] = "all"
    """What a checkpoint holds: the model and the updates apart, or the updates alone and what finds the model
    that they are of; that one has to stay where it is, in files."""

    def __post_init__(self) -> None:
        """Refuse values out of range, and checkpoints without what is trained in full."""
        super().__post_init__()
        if self.checkpoint == "adapters" and (self.trainable or self.trainable_rows):
            raise ConfigError(
                "checkpoint=adapters would hold nothing of what trainable and trainable_rows name; set "
                "checkpoint=all, or leave them out"
            )

    def trained(self, model: CausalLM) -> tuple[AdaptedLM, Partition]:
        """Return the model with its updates beside it, and which of the parameters of both are trained."""
        from burnish.llm.lora.low_rank import LowRank
        from burnish.llm.lora.model import AdaptedLM
        from burnish.llm.lora.targets import adapter_partition, targets_of

        low_rank = LowRank(rank=self.rank, alpha=self.alpha, scaling=self.scaling, dora=self.dora)
        adapted = AdaptedLM(model, low_rank, targets_of(model, self.targets, self.trainable))
        return adapted, adapter_partition(
            adapted, trainable=self.trainable, frozen=self.frozen, rows=self.trainable_rows
        )

    def plan(
        self, context: TrainingContext, batch: TokenBatch, objective: Objective
    ) -> Mapping[str, int | float | str]:
        """Return the arithmetic of one update's batch and the bytes of the state; allocates nothing."""
        from burnish.llm.footprint import human_bytes

        model, _ = self.trained(context.model)
        merged = human_bytes(model.adapted_bytes(context.jax.compute_dtype))
        return {**super().plan(context, batch, objective), "memory of the merged matrices": merged}

    def build(self, context: TrainingContext) -> TrainingBackend:
        """Return the backend over the context's parameters and fresh updates, with a fresh optimizer."""
        from burnish.llm.jax_training import JaxTrainingBackend
        from burnish.llm.lora.form import WithAdapters

        if self.checkpoint == "adapters" and context.origin is None:
            raise ConfigError(
                "checkpoint=adapters: the model lies in no files that a checkpoint could name; set "
                "checkpoint=all"
            )
        model, _ = self.trained(context.model)
        return JaxTrainingBackend(
            context,
            layout=self.layout(context),
            settings=self.settings(context),
            max_grad_norm=self.max_grad_norm,
            form=WithAdapters(
                model=model,
                mesh=context.mesh,
                seed=context.seed,
                origin=context.origin,
                names_base=self.checkpoint == "adapters",
                is_all_of_it=not (self.trainable or self.trainable_rows),
            ),
        )

"""How a step is made, whatever it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from burnish.platform.configuration.option_types import check_options
from burnish.platform.configuration.ranges import Count, NotNegative, PositiveOrInfinite, ShareBelowOne

if TYPE_CHECKING:
    import jax

    from burnish.llm.batch import TokenBatch
    from burnish.llm.families.protocol import CausalLM
    from burnish.llm.objective import Objective
    from burnish.llm.partition import Partition
    from burnish.llm.step_settings import StepSettings
    from burnish.llm.train_state import StateLayout
    from burnish.llm.training import TrainingContext
    from burnish.platform.configuration.config import MeshConfig


@dataclass(frozen=True, kw_only=True)
class StepOptions(ABC):
    """Options that training backends in jax share; none by itself."""

    micro_batch_rows: Count | Literal["all"] = "all"
    """Rows per forward and backward pass; changes memory and speed, never the result."""

    max_grad_norm: PositiveOrInfinite = 1.0
    """Gradients are scaled down to this global norm; `.inf` leaves them as they are."""

    logprob_chunk: Count | Literal["auto"] = "auto"
    """Positions whose logits exist at one time on a device, at least one per row; the backward pass holds
    about two arrays of them in fp32. `auto` is as many as fill 256 MiB, but at least 1024. Where that is all
    positions, their logits are kept for the backward pass rather than computed again, at the same peak."""

    dropout: ShareBelowOne = 0.0
    """Probability that an entry of an embedding, or of what an attention or MLP adds to it, is 0 in a step,
    as in GPT-2. Evaluation and engines drop nothing: `rl` measures it as mismatch."""

    balance_coefficient: NotNegative | Literal["auto"] = "auto"
    """Factor of the loss that keeps the experts of a model evenly taken; `auto` is `router_aux_loss_coef` of
    a `config.json` with `output_router_logits`, else 0. With several micro-batches it takes a forward pass
    more: how often an expert is taken is counted over the whole batch."""

    ema_decay: ShareBelowOne = 0.0
    """Decay of an average of what is trained over the updates, in fp32, corrected for its beginning as Adam's
    moments are; 0 keeps none. It is what is evaluated and handed over; rollouts sample from the weights
    themselves. With .999 it remembers about 1,000 updates."""

    frozen: tuple[str, ...] = ()
    """Parameters that stay as they are, by patterns of their paths: `embed`, `layers/mlp`, `layers/*/query*`.
    They have no gradient, no moments and no masters."""

    trainable_rows: Mapping[str, Count] = field(default_factory=dict[str, int])
    """First row that is trained of the parameters that a pattern matches; those before it stay as they are.
    With `{embed: 151936}` only the rows of new tokens of that leaf are trained and have masters and moments;
    whether other leaves are trained is said elsewhere. Of `layers` a row is a layer."""

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        check_options(self)

    @abstractmethod
    def trained(self, model: CausalLM) -> tuple[CausalLM, Partition]:
        """Return the model whose parameters are trained for this one, and which of them are."""
        ...

    def check(self, num_rows: int, mesh: MeshConfig, model: Callable[[], CausalLM] | None) -> None:
        """Refuse rows that do not divide into micro-batches and devices, and options of other models."""
        from burnish.llm.balance import coefficient_of
        from burnish.llm.micro_batches import check_rows

        check_rows(num_rows, self.micro_batch_rows, mesh.row_shards)
        if model is None:
            return
        found = model()
        coefficient_of(self.balance_coefficient, found)
        trained, partition = self.trained(found)
        partition.check(trained.abstract("float32"))

    def plan(
        self, context: TrainingContext, batch: TokenBatch, objective: Objective
    ) -> Mapping[str, int | float | str]:
        """Return the arithmetic of one update's batch and the bytes of the state; allocates nothing."""
        from burnish.llm.compiled_plan import compiled_plan
        from burnish.llm.footprint import training_plan

        plan = training_plan(self.layout(context), batch, self.micro_batch_rows)
        return {**plan, **compiled_plan(self, context, batch, objective)}

    def compiled(
        self, context: TrainingContext, batch: TokenBatch, objective: Objective
    ) -> jax.stages.Compiled:
        """Compile the program of an update for the devices of the context; allocates nothing on them."""
        from burnish.llm.step_compilation import lowered_step
        from burnish.llm.target import compiler_options

        num_rows = batch.tokens.shape[0]
        program = self.settings(context).program(self.layout(context), objective, num_rows)
        lowered: Any = lowered_step(program, batch)
        return lowered.compile(compiler_options())

    def layout(self, context: TrainingContext) -> StateLayout:
        """Return the layout of the training state; ConfigError for a pattern that makes no sense."""
        from burnish.llm.train_state import StateLayout
        from burnish.platform.configuration.parts import needs_of

        model, partition = self.trained(context.model)
        partition.check(model.abstract("float32"))
        return StateLayout(
            model=model,
            optimizer=context.optimizer,
            total_steps=context.total_steps,
            param_dtype=context.jax.param_dtype,
            compute_dtype=context.jax.compute_dtype,
            mesh=context.mesh,
            partition=partition,
            ema_decay=self.ema_decay,
            artifacts=context.artifacts.only(needs_of(context.optimizer)),
        )

    def settings(self, context: TrainingContext) -> StepSettings:
        """Return what `JaxTrainingBackend` is to know of a step."""
        from burnish.llm.balance import coefficient_of
        from burnish.llm.logprobs import chunk_of
        from burnish.llm.micro_batches import row_shards
        from burnish.llm.step_settings import StepSettings

        chunk = chunk_of(self.logprob_chunk, context.model.vocab_size)
        return StepSettings(
            micro_batch_rows=self.micro_batch_rows,
            logprob_chunk=chunk * row_shards(context.mesh),
            dropout=self.dropout,
            balance_coefficient=coefficient_of(self.balance_coefficient, context.model),
        )

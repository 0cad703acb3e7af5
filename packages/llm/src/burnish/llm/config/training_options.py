"""How a step is made, whatever it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from burnish.platform.configuration.option_types import check_options
from burnish.platform.configuration.ranges import Count, NotNegative, PositiveOrInfinite, ShareBelowOne

if TYPE_CHECKING:
    from burnish.llm.families.protocol import CausalLM
    from burnish.llm.training import TrainingContext
    from burnish.platform.configuration.config import MeshConfig


@dataclass(frozen=True, kw_only=True)
class StepOptions:
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

    def check_step(self, num_rows: int, mesh: MeshConfig, model: Callable[[], CausalLM] | None) -> None:
        """Refuse rows that do not divide into micro-batches and devices, and a balance without experts."""
        from burnish.llm.balance import coefficient_of
        from burnish.llm.micro_batches import check_rows

        check_rows(num_rows, self.micro_batch_rows, mesh.dp * mesh.fsdp)
        if self.balance_coefficient not in (0, "auto") and model is not None:
            coefficient_of(self.balance_coefficient, model())

    def step_arguments(self, context: TrainingContext) -> dict[str, Any]:
        """Return what `JaxTrainingBackend` is to know of a step."""
        from burnish.llm.balance import coefficient_of
        from burnish.llm.logprobs import chunk_of
        from burnish.llm.micro_batches import row_shards

        chunk = chunk_of(self.logprob_chunk, context.model.vocab_size)
        return {
            "micro_batch_rows": self.micro_batch_rows,
            "max_grad_norm": self.max_grad_norm,
            "logprob_chunk": chunk * row_shards(context.mesh),
            "dropout": self.dropout,
            "balance_coefficient": coefficient_of(self.balance_coefficient, context.model),
        }

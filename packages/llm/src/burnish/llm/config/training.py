"""The training backend of this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from burnish.llm.config.ranges import check_range

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from burnish.llm.families.protocol import CausalLM
    from burnish.llm.tokenizer import Tokenizer
    from burnish.llm.training import JaxTrainingBackend
    from burnish.platform.configuration.config import JaxConfig, MeshConfig


@dataclass(frozen=True, kw_only=True)
class JaxTraining:
    """The training step on the devices of this run, one jit per optimizer step."""

    micro_batch_rows: int | Literal["all"] = "all"
    """Rows per forward and backward pass; changes memory and speed, never the result."""

    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global norm; `.inf` leaves them as they are."""

    logprob_chunk: int = 1024
    """Positions whose logits exist at one time."""

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        rows = self.micro_batch_rows
        check_range("training.micro_batch_rows", rows, rows == "all" or rows >= 1, "1 or more, or all")
        check_range("training.max_grad_norm", self.max_grad_norm, self.max_grad_norm > 0, "above 0")
        check_range("training.logprob_chunk", self.logprob_chunk, self.logprob_chunk >= 1, "1 or more")

    def check(self, num_rows: int, mesh: MeshConfig) -> None:
        """Refuse batches of `num_rows` rows that do not divide into micro-batches and devices."""
        from burnish.llm.training import check_rows

        check_rows(num_rows, self.micro_batch_rows, mesh.dp * mesh.fsdp)

    def build(
        self,
        *,
        model: CausalLM,
        params: Any,
        optimizer: Any,
        total_steps: int,
        mesh: Mesh,
        jax_config: JaxConfig,
        tokenizer: Tokenizer | None = None,
    ) -> JaxTrainingBackend:
        """Return the backend with `params` as masters; `optimizer` is the component, not what it builds."""
        from burnish.llm.training import JaxTrainingBackend

        return JaxTrainingBackend(
            self,
            model=model,
            params=params,
            optimizer=optimizer,
            total_steps=total_steps,
            mesh=mesh,
            jax_config=jax_config,
            tokenizer=tokenizer,
        )

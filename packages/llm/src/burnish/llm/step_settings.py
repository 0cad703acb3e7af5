"""How the rows of an update are worked through, whatever is trained on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from burnish.llm.micro_batches import check_rows, row_shards
from burnish.llm.train_step import GradientProgram

if TYPE_CHECKING:
    from burnish.llm.objective import Objective
    from burnish.llm.train_state import StateLayout


@dataclass(frozen=True, kw_only=True)
class StepSettings:
    """What the options of a training backend say of its forward and backward pass."""

    micro_batch_rows: int | Literal["all"] = "all"
    logprob_chunk: int
    """Positions whose logits exist at one time, over all devices."""

    dropout: float = 0.0
    balance_coefficient: float = 0.0

    def program(
        self, layout: StateLayout, objective: Objective, num_rows: int, outputs: tuple[str, ...] = ()
    ) -> GradientProgram:
        """Return the program of a batch; ConfigError when its rows do not divide."""
        return GradientProgram(
            layout=layout,
            objective=objective,
            micro_batch_rows=check_rows(num_rows, self.micro_batch_rows, row_shards(layout.mesh)),
            logprob_chunk=self.logprob_chunk,
            dropout=self.dropout,
            balance_coefficient=self.balance_coefficient,
            outputs=outputs,
        )

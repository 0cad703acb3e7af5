"""The rollouts of this package as plain data."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from burnish.rl.rollouts.protocol import Rollout, RolloutContext


@dataclass(frozen=True, kw_only=True)
class SingleTurn:
    """One prompt, several completions, no environment in between."""

    def build(self, context: "RolloutContext") -> "Rollout":
        """Return the rollout."""
        from burnish.rl.rollouts.single_turn import SingleTurnRollout

        return SingleTurnRollout(
            tokenizer=context.tokenizer,
            max_new_tokens=context.max_new_tokens,
            temperature=context.temperature,
            seed=context.seed,
            stage_index=context.stage_index,
        )

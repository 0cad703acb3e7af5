"""The rollouts of this package as plain data."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from burnish.rl.rollouts.protocol import Rollout


@dataclass(frozen=True, kw_only=True)
class SingleTurn:
    """One prompt, several completions, no environment in between."""

    def build(self, **collaborators: Any) -> "Rollout":
        """Return the rollout over a tokenizer, a temperature, a length and the run's key words."""
        from burnish.rl.rollouts.single_turn import SingleTurnRollout

        return SingleTurnRollout(**collaborators)

"""The objectives of this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from burnish.llm.objective import Objective, ObjectiveContext


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """Negative log-likelihood of each trained token."""

    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective; it needs nothing of the context."""
        del context
        from burnish.llm.objective import cross_entropy

        return cross_entropy

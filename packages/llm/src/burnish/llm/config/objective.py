"""The objectives of this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from burnish.llm.objective import Objective


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """Negative log-likelihood of each trained token."""

    def build(self, **_: Any) -> Objective:
        """Return the objective; it needs nothing of what others are built with, such as a temperature."""
        from burnish.llm.objective import cross_entropy

        return cross_entropy

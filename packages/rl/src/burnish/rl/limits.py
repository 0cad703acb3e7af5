"""What ends a run that has gone wrong, before it wastes the night."""

from collections.abc import Sequence
from dataclasses import dataclass

from burnish.llm.limits import SkippedUpdates, Update
from burnish.rl.mismatch_limit import MismatchLimit


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Watches each rollout and its updates; every method returns the reason to stop, or None."""

    mismatch: MismatchLimit
    skipped: SkippedUpdates

    def skipped_too_often(self, updates: Sequence[Update]) -> str | None:
        """Look at all updates of a rollout, which waits for them: were too many in a row not finite?"""
        return next((reason for update in updates if (reason := self.skipped.exceeded(update))), None)

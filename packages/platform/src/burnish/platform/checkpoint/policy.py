"""When checkpoints are written, and which of those that are there stay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.platform.checkpoint.retention import Mode, best_step, improves, steps_to_remove


@dataclass(frozen=True, kw_only=True)
class CheckpointPolicy:
    """The options of the config's section `checkpoint` that say when and which, by their names there."""

    save_every_steps: int = 100
    save_last: bool = True
    save_total_limit: int | None = 2
    keep_best: str | None = None
    keep_best_mode: Mode = "max"

    def is_scheduled(self, step: int, last: int) -> bool:
        """Say whether a checkpoint is due after `step` of `last`, whatever its numbers are."""
        every = self.save_every_steps
        return bool(every and step > 0 and step % every == 0) or (step == last and self.save_last)

    def is_better(self, metrics: Mapping[str, float], scores: Mapping[int, float]) -> bool:
        """Say whether these numbers have a `keep_best` that is better than all scores of checkpoints."""
        score = None if self.keep_best is None else metrics.get(self.keep_best)
        return score is not None and improves(score, scores, self.keep_best_mode)

    def best(self, scores: Mapping[int, float]) -> int | None:
        """Return the step with the best `keep_best`; the earlier of equals, None when none has it."""
        return best_step(scores, self.keep_best_mode)

    def superfluous(
        self, steps: Sequence[int], scores: Mapping[int, float], *, is_finished: bool = False
    ) -> list[int]:
        """Return the steps to remove, oldest first: of a finished stage all but the newest and the best."""
        limit = self.save_total_limit
        newest = max(steps, default=0)
        return steps_to_remove(steps, newest, self.best(scores), 1 if is_finished and limit else limit)

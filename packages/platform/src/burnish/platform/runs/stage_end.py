"""Where a stage ends: with its last step, with the step at which somebody finishes it, or at a limit."""

from dataclasses import dataclass
from pathlib import Path

from burnish.platform.errors import ConfigError, LimitExceeded


@dataclass(kw_only=True)
class StageEnd:
    """How far a stage goes, and who wants it to end before."""

    planned: int = 0
    """The last step, unless somebody asks for an earlier end."""
    step: int = 0
    """The step at hand."""
    stop_reason: str | None = None
    """Why the run stops with the step at hand."""
    finish_reason: str | None = None
    """Why the stage, and not the run, ends with the step at hand."""

    def continue_after(self, step: int, finish_reason: str | None) -> None:
        """Go on after the step of a checkpoint, which ended the stage where it has a reason.

        ConfigError where the stage has fewer steps than that: its rows and weights are past its end.
        """
        self.step, self.finish_reason = step, finish_reason
        if step > self.last_step:
            raise ConfigError(
                f"steps={self.planned} is below step {step} of the checkpoint to go on from; raise it, or "
                "name an earlier checkpoint by checkpoint.resume_from"
            )

    def stop_unless_told(self, reason: str | None) -> None:
        """Stop the run for a limit's reason, where it has one and nobody has given another."""
        self.stop_reason = self.stop_reason or reason

    def raise_if_stopped(self, name: str, directory: Path) -> None:
        """Raise LimitExceeded where the run stops with the step at hand, which is saved in `directory`."""
        if self.stop_reason is not None:
            raise LimitExceeded(
                f"stopped at step {self.step} of '{name}': {self.stop_reason}; saved under {directory}"
            )

    def abandoned(self, name: str, reason: str, saved: int | None, command: str) -> LimitExceeded:
        """Return the error of a run that ends before the step at hand, after the one that is saved."""
        at = "nothing is saved yet" if saved is None else f"saved at step {saved}"
        return LimitExceeded(
            f"stopped before step {self.step} of '{name}' was done: {reason}; {at}; go on with: {command}"
        )

    @property
    def is_asked_for(self) -> bool:
        """Whether the step at hand is to be the last one."""
        return self.stop_reason is not None or self.finish_reason is not None

    def is_at(self, step: int) -> bool:
        """Whether the stage ends with `step`, as planned or because somebody asks for it."""
        return step == self.planned or self.is_asked_for

    @property
    def last_step(self) -> int:
        """The step that the stage ends with, as far as is known."""
        return self.planned if self.finish_reason is None else self.step

    @property
    def early(self) -> str | None:
        """At which step and why the stage ends before the planned one, None where it does not."""
        if self.finish_reason is None:
            return None
        return f"finished at step {self.step} of {self.planned}: {self.finish_reason}"

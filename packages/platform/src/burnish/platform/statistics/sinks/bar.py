"""The line at the bottom of a terminal: how far the stage is, what it is busy with, and for how long."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from burnish.platform.activity import Activity


class Bar:
    """One bar, redrawn when it is told to, gone once it is taken away."""

    def __init__(self, console: Console) -> None:
        """Draw nothing yet."""
        self._console = console
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._text = self._to_go = ""
        self._shown: tuple[str, int | None] | None = None

    def step(self, stage: str, step: int, last: int, text: str, to_go: str) -> None:
        """Show a step of a stage, the numbers worth a glance, and how long the stage will take."""
        self._text, self._to_go = text, to_go
        self._show(f"{stage} {step}/{last}", step, last, [text, to_go])

    def wait(self, stage: str, step: int | None, last: int | None, activity: Activity) -> None:
        """Show what the stage is busy with: as a bar of its own before the stage's first step."""
        since = f"{activity}, {activity.seconds:.0f} s"
        if step is None:
            self._show(stage, activity.done, activity.total, [since])
        else:
            self._show(f"{stage} {step}/{last}", step, last, [self._text, since, self._to_go])

    def remove(self) -> None:
        """Take the bar away and give the cursor back."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _show(self, head: str, done: int, total: int | None, texts: Sequence[str]) -> None:
        shown = (head.partition(" ")[0], total)
        if shown != self._shown:  # rich keeps the total of a bar that goes on
            self.remove()
        if self._progress is None:
            self._progress, self._shown = self._begun(head, total), shown
        text = "  ".join(filter(None, texts))
        self._progress.update(self._task, completed=done, description=head, text=text, refresh=True)

    def _begun(self, head: str, total: int | None) -> Progress:
        # No refresh thread: it could raise where nobody catches it.
        progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stderr=sys.stderr.isatty(),
        )
        self._task = progress.add_task(head, total=total, text="")
        progress.start()
        return progress

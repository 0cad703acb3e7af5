"""A stage's hold on its run: directory, mesh, seed, statistics, and the one owner of the training loop.

`StageRun.steps` is the only place that restores, saves by policy, beats and notices signals; a loop asks it
for steps and commits one row per step. It knows no model: what it saves are the parts that have a state.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

from burnish.platform.activity import busy
from burnish.platform.checkpoint.manager import CheckpointManager
from burnish.platform.checkpoint.manifest import Verified
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.device.randomness import Purpose, derived_seed
from burnish.platform.errors import Interrupted, LimitExceeded
from burnish.platform.runs.best_metric import BestMetric
from burnish.platform.runs.interrupts import Interrupts
from burnish.platform.runs.participants import Participants
from burnish.platform.runs.rows import Look, StageRows
from burnish.platform.runs.run_directory import RunDirectory
from burnish.platform.runs.samples import SampleWriter
from burnish.platform.runs.spans import Spans
from burnish.platform.runs.stage_end import StageEnd
from burnish.platform.statistics.logger import StatsLogger
from burnish.platform.statistics.sink import SinkRow
from burnish.platform.statistics.summary import EVALUATION_SCOPE
from burnish.platform.statistics.tracker import StatsTracker

if TYPE_CHECKING:
    from jax.sharding import Mesh

P = ParamSpec("P")


@dataclass(kw_only=True)
class StageRun:
    """One stage's handle on the run it belongs to.

    `index` counts the chain's stages from 1; `seed`, `index`, a step, a purpose and an id name every random
    key of the run. `resume_from` is the checkpoint that `steps` restores first, None for a fresh start.
    """

    root: RunDirectory
    index: int
    name: str
    seed: int
    jax: JaxConfig
    logger: StatsLogger
    manager: CheckpointManager
    interrupts: Interrupts = field(default_factory=Interrupts)
    resume_from: Verified | None = None
    resume_command: str = "the same command with checkpoint.resume_from=latest"
    first_global_step: int = 0
    """The global step of this stage's step 0: steps of the stages before it."""
    is_last: bool = True
    """Whether no stage follows."""

    _end: StageEnd = field(default_factory=StageEnd, init=False)
    _spans: Spans = field(default_factory=Spans, init=False)
    _rows: StageRows = field(init=False)
    _participants: Participants = field(init=False)
    _best: BestMetric = field(init=False)
    _looks: list[Look] = field(default_factory=list[Look], init=False)
    _committed_step: int | None = field(default=None, init=False)

    @property
    def is_primary(self) -> bool:
        """Whether this process writes the run's directory: rows, samples, checkpoints and their manifests."""
        return self.root.is_primary

    @property
    def next_global_step(self) -> int:
        """The global step after this stage's last, where the next one starts counting."""
        return self.first_global_step + self._end.last_step + 1

    @property
    def ended_early(self) -> str | None:
        """At which step and why the stage ended before its last one, None where it did not."""
        return self._end.early

    @property
    def stage_directory(self) -> Path:
        """Where this stage keeps its checkpoints and its export."""
        return self.root.stage(self.index, self.name)

    @property
    def data_seed(self) -> int:
        """The seed of this stage's order of records."""
        return derived_seed(self.seed, self.index, Purpose.DATA)

    @cached_property
    def mesh(self) -> "Mesh":
        """The mesh of `jax.mesh` over this process's devices."""
        from burnish.platform.device.mesh import mesh_of

        return mesh_of(self.jax.mesh)

    def say(self, line: str) -> None:
        """Tell the user something worth knowing about this stage, on a line of its own."""
        with suppress(OSError):  # nobody reads it any more
            sys.stderr.write(f"{self.name}: {line}\n")  # a bar that is drawn lets it pass above

    def tell(self, line: str) -> None:
        """Tell whoever watches the run what this stage works with, and what it will do."""
        self.logger.tell(f"{self.name}: {line}")

    def span(self, name: str) -> AbstractContextManager[None]:
        """Add a block's seconds to `time/<name>_seconds` of the step at hand, or of the first one to come.

        The console shows it while it lasts, and profiles of jax do.
        """
        return self._spans.span(name)

    def samples(self, name: str) -> SampleWriter:
        """Return the writer of `samples/<name>.jsonl`."""
        path = self.root.samples / f"{name}.jsonl"
        return SampleWriter(path, self.name, is_primary=self.is_primary, logger=self.logger)

    def steps(self, last: int, **parts: object) -> Iterator[int]:
        """Yield the steps that are left up to `last`, restoring what has a state first.

        `parts` are what the loop works with: those that are `Stateful` take part in checkpoints under their
        name, as do the run's sinks. A fresh stage begins with step 0, before the first update; a resumed one
        with the step after its checkpoint. Each is committed once before the next is asked for; then come
        the checkpoint policy, signals, `stop` and `finish`: once the state is saved, a signal raises
        `Interrupted`, and a `stop` or a limit that is exceeded `LimitExceeded`.
        """
        self._end.planned = last
        self._rows = StageRows(self.logger)
        self._participants = Participants(self.manager, parts, self.logger.sinks)
        self._best = BestMetric(self.manager.policy.keep_best, is_last=self.is_last)
        for step in range(self._first_step(), self._end.last_step + 1):
            self._end.step = step
            self._rows.begin_step()
            yield step
            assert self._committed_step == step, f"step {step} of '{self.name}' was not committed"
            self._after(step)
            if self._end.last_step == step:
                break
        self.manager.wait()
        if self.ended_early is not None:
            self.say(self.ended_early)

    def commit(self, step: int, stats: StatsTracker) -> None:
        """Take the one row of `step`: `stats` with the step's clock, compiles and memory beside them.

        The row of the step before is written here, now that the device works on this one; this step's row
        where its numbers are ready, or an evaluation, a checkpoint, a limit or the stage's end needs it.
        `time/step_seconds` counts from the step's beginning to the end of this call; what the sinks take for
        this very row counts in the next. Each second but those of saving and of the last row is in one row.
        """
        row = SinkRow(
            stage=self.name, step=step, last_step=self._end.planned, global_step=self.first_global_step + step
        )
        looks, self._looks = self._looks, []
        self._best.see(step, stats.names)
        stats += self._spans.take()
        at_once = (
            self._end.is_at(step)
            or any(name.startswith(EVALUATION_SCOPE) for name in stats.names)
            or self._participants.may_be_due(step, self._end.planned, stats.names)
        )
        self._end.stop_unless_told(self._rows.commit(row, stats, looks, at_once=at_once))
        self._committed_step = step

    def stop(self, reason: str) -> None:
        """End the run with exit status 3 once the step at hand is committed and saved."""
        self._end.stop_reason = reason

    def stop_if(self, exceeded: Callable[P, str | None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call a limit with these arguments when the next step is committed, and stop with its reason.

        So nothing waits for the step here. Where the row of the step at hand is read at once, and so at the
        stage's end, the limit is asked at once too: what it refuses is not handed on.
        """
        self._looks.append(partial(exceeded, *args, **kwargs))

    def abandon(self, reason: str) -> LimitExceeded:
        """Save the last committed step; return what ends the run, which repeats the one at hand on resume."""
        return self._end.abandoned(self.name, reason, self.rescue(), self.resume_command)

    def finish(self, reason: str) -> None:
        """End the stage once the step at hand is committed and saved; it exports, and the chain goes on."""
        self._end.finish_reason = reason

    @property
    def last_step(self) -> int:
        """The step that the stage ends with, as far as is known: the one at hand once it is to finish."""
        return self._end.last_step

    def rescue(self) -> int | None:
        """Save the last committed step, if the one at hand has changed nothing; return the newest saved."""
        step = self._committed_step
        if self.is_primary and step is not None and self.manager.latest() != step:
            self._rows.settle()
            self._participants.rescue(step, self._rows.numbers, self.root.flush_records())
        return self.manager.latest()

    def _first_step(self) -> int:
        """Restore what has a state and return the step to go on with; 0 for a fresh stage."""
        if self.resume_from is None:
            return 0
        with busy("restore"):
            restored, reason = self._participants.restore(self.resume_from)
        self._end.continue_after(restored, reason)
        return restored + 1

    def _after(self, step: int) -> None:
        """Save and beat as the step wants it, and end the stage or the run where somebody asked for it."""
        self._participants.hold()
        pending = self.interrupts.pending
        ends_here = pending is not None or self._end.is_asked_for
        if ends_here:
            self._end.stop_unless_told(self._rows.settle())
        is_due = self._rows.is_settled and self.manager.is_due(step, self._end.planned, self._rows.numbers)
        if self.is_primary and (ends_here or is_due):
            self._save(step)
        if ends_here:
            self.manager.wait()
        self.root.beat(self.name, step, self._end.planned, force=ends_here or step == self._end.planned)
        self._end.raise_if_stopped(self.name, self.stage_directory)
        if pending is not None:
            raise Interrupted(
                f"stopped by a signal and saved at step {step} of '{self.name}'; "
                f"go on with: {self.resume_command}",
                pending,
            )

    def _save(self, step: int) -> None:
        if self._participants.are_none:
            return
        # A run that a limit stopped has not finished its stage, whoever said so.
        early_end = self._end.finish_reason if self._end.stop_reason is None else None
        with self.span("save"):
            self._participants.save(step, self._rows.numbers, early_end, self.root.flush_records())

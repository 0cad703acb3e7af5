"""A stage's hold on its run: directory, mesh, seed, statistics, and the one owner of the training loop.

`StageRun.steps` is the only place that restores, saves by policy, beats, notices signals and counts compiles; a
loop asks it for steps and commits one row per step. It knows no model: what it saves are the participants.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from burnish.platform.checkpoint.manager import CheckpointManager
from burnish.platform.checkpoint.manifest import Verified
from burnish.platform.checkpoint.snapshot import Stateful
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.device.compiles import CompileCounter
from burnish.platform.device.memory import peak_memory_bytes
from burnish.platform.errors import Interrupted, LimitExceeded
from burnish.platform.randomness import Purpose, derived_seed
from burnish.platform.runs.interrupts import Interrupts
from burnish.platform.runs.run_directory import RunDirectory
from burnish.platform.runs.samples import SampleWriter
from burnish.platform.statistics.logger import StatsLogger
from burnish.platform.statistics.sink import SinkRow
from burnish.platform.statistics.tracker import StatsTracker

if TYPE_CHECKING:
    from jax.sharding import Mesh


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

    _stop_reason: str | None = field(default=None, init=False)
    _committed: Mapping[str, float] = field(default_factory=dict[str, float], init=False)
    _committed_step: int | None = field(default=None, init=False)
    _step_started: float = field(default=0.0, init=False)
    _last: int = field(default=0, init=False)
    _spans: StatsTracker = field(default_factory=StatsTracker, init=False)

    @property
    def next_global_step(self) -> int:
        """The global step after this stage's last, where the next one starts counting."""
        return self.first_global_step + self._last + 1

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
        """The mesh of `jax.mesh` over this process's devices; a word about devices that it leaves idle."""
        import jax

        from burnish.platform.device.mesh import build_mesh

        mesh = build_mesh(self.jax.mesh)
        available: int = jax.local_device_count()  # pyright: ignore[reportUnknownMemberType] - jax's is partial
        if mesh.size < available:
            self.say(f"uses {mesh.size} of {available} devices; jax.mesh.fsdp={available} would use all")
        return mesh

    @cached_property
    def _compiles(self) -> CompileCounter:
        return CompileCounter()

    def say(self, line: str) -> None:
        """Tell the user something worth knowing about this stage, on a line of its own."""
        Console(stderr=True, soft_wrap=True).print(f"{self.name}: {line}", markup=False, highlight=False)

    def span(self, name: str) -> AbstractContextManager[None]:
        """Add the seconds of a `with` block to `time/<name>_seconds` of the step at hand."""
        return self._spans.timing(name)

    def samples(self, name: str) -> SampleWriter:
        """Return the writer of `samples/<name>.jsonl`."""
        return SampleWriter(self.root.path / "samples" / f"{name}.jsonl", self.name)

    def steps(self, last: int, **participants: Stateful) -> Iterator[int]:
        """Yield the steps that are left up to `last`, restoring the participants first.

        A fresh stage begins with step 0, the state before the first update; a resumed one with the step after
        its checkpoint. Each yielded step is committed once before the next is asked for. After the commit
        the checkpoint policy, signals and `stop` are looked at, in this order.

        Raises:
            Interrupted: a signal arrived; the state is saved.
            LimitExceeded: `stop` was called in the loop; the state is saved.
        """
        self._last = last
        first = 0
        if self.resume_from is not None:
            first = self.manager.restore(self.resume_from, participants) + 1
        self._compiles.read()
        for step in range(first, last + 1):
            self._step_started = time.perf_counter()
            yield step
            assert self._committed_step == step, f"step {step} of '{self.name}' was not committed"
            self._after(step, last, participants)
        self.manager.wait()

    def commit(self, step: int, stats: StatsTracker) -> None:
        """Write the one row of `step`, with its clock, its compiles and its memory beside `stats`."""
        stats += self._spans
        self._spans = StatsTracker()
        numbers = stats.summary()  # waits for what a device still computes, so that the clock counts it
        compiles, seconds = self._compiles.read()
        machine = {
            "time/step_seconds": time.perf_counter() - self._step_started,
            "compile/count": float(compiles),
            "compile/seconds": seconds,
            "memory/peak_bytes": float(peak_memory_bytes()),
        }
        row = SinkRow(
            stage=self.name, step=step, last_step=self._last, global_step=self.first_global_step + step
        )
        self._committed = self.logger.commit(row, numbers | machine)
        self._committed_step = step

    def stop(self, reason: str) -> None:
        """End the run with exit status 3 once the step at hand is committed and saved."""
        self._stop_reason = reason

    def _after(self, step: int, last: int, participants: Mapping[str, Stateful]) -> None:
        pending = self.interrupts.pending
        ends_here = pending is not None or self._stop_reason is not None
        if participants and (ends_here or self.manager.is_due(step, last, self._committed)):
            with self.span("save"):
                self.manager.save(step, participants, self._committed)
        if ends_here:
            self.manager.wait()
        self.root.beat(self.name, step, last, force=step == last or ends_here)
        if self._stop_reason is not None:
            raise LimitExceeded(
                f"stopped at step {step} of '{self.name}': {self._stop_reason}; "
                f"saved under {self.stage_directory}"
            )
        if pending is not None:
            raise Interrupted(
                f"stopped by a signal and saved at step {step} of '{self.name}'; "
                f"go on with: {self.resume_command}",
                pending,
            )

"""Which checkpoints exist: when to write one, which to keep, and how to publish or remove one atomically.

A process that dies at any moment leaves whole `step_<k>` directories, and leftovers that the next save
sweeps. One manager at a time writes to a directory: the run's lock sees to that.
"""

import re
from collections.abc import Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from burnish.platform import atomic
from burnish.platform.checkpoint import step_directory
from burnish.platform.checkpoint.backend import CheckpointBackend, CheckpointComponent, CheckpointContext
from burnish.platform.checkpoint.config import Msgpack
from burnish.platform.checkpoint.manifest import Verified, write_manifest
from burnish.platform.checkpoint.policy import CheckpointPolicy
from burnish.platform.checkpoint.snapshot import Snapshot, Stateful
from burnish.platform.errors import CheckpointError

_STEP = re.compile(r"step_(\d+)")
_MSGPACK = Msgpack()
_DEFAULT_POLICY = CheckpointPolicy()


class CheckpointManager:
    """Write, rotate, find and restore the checkpoints of one directory.

    `save` returns when the participants' arrays may change again; checksums, flushing and rotation follow
    in a thread, and every other method waits for it. Call `wait` before relying on what was saved.
    """

    def __init__(
        self,
        directory: Path,
        policy: CheckpointPolicy = _DEFAULT_POLICY,
        backend: CheckpointComponent = _MSGPACK,
    ) -> None:
        """Look at `directory`, which need not exist; nothing is written or removed before the first save."""
        self.directory = directory
        self.policy = policy
        self._backend = backend
        self._backends: dict[str, CheckpointBackend] = {}
        self._finishing: Future[None] | None = None

    def path(self, step: int) -> Path:
        """Return where the checkpoint of `step` is, or would be."""
        return self.directory / f"step_{step}"

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, ascending; intact or not."""
        self.wait()
        return self._steps()

    def latest(self) -> int | None:
        """Return the highest step that has a checkpoint."""
        steps = self.steps()
        return steps[-1] if steps else None

    def newest_intact(self) -> int | None:
        """Return the highest step whose checkpoint is whole, None where none is."""
        return self._newest_intact(self.steps())

    def best(self) -> int | None:
        """Return the step with the best `keep_best` metric; the earlier of equals, None when none has it."""
        return self.policy.best(self._scores(self.steps()))

    def is_due(self, step: int, last: int, metrics: Mapping[str, float] | None = None) -> bool:
        """Say whether the policy wants a checkpoint after `step` of `last`.

        True every `save_every_steps`, at the last step with `save_last`, and, where the step's `metrics` are
        given, when `keep_best` improves on every checkpoint there is.
        """
        if self.policy.is_scheduled(step, last):
            return True
        if metrics is None or self.policy.keep_best not in metrics:
            return False
        return self.policy.is_better(metrics, self._scores(self.steps()))

    def save(
        self,
        step: int,
        participants: Mapping[str, Stateful],
        metrics: Mapping[str, float],
        records: Mapping[str, int] | None = None,
    ) -> None:
        """Save every participant's state as the checkpoint of `step`, replacing one that exists.

        `records` are the bytes of the run's rows and events so far, for whoever goes on from here.
        """
        self.wait()
        snapshots = {name: participant.save_state() for name, participant in participants.items()}
        self.save_snapshots(step, snapshots, metrics, records)

    def save_snapshots(
        self,
        step: int,
        snapshots: Mapping[str, Snapshot],
        metrics: Mapping[str, float],
        records: Mapping[str, int] | None = None,
    ) -> None:
        """Save states that the participants have handed over, as `save` does."""
        self.wait()
        if self.directory.is_dir():
            atomic.sweep(self.directory)
        facts = {
            "kind": "checkpoint",
            "step": step,
            "backend": self._backend_name,
            "trees": step_directory.tree_names(snapshots),
            "records": dict(records or {}),
        }
        aside = atomic.begin_directory(self.path(step))
        with _abandoning(self.path(step), self._backends):
            step_directory.write_payload(
                aside, snapshots, self._backend_of, {"step": step, "metrics": dict(metrics)}
            )
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._finishing = executor.submit(self._finish, step, aside, facts)
        executor.shutdown(wait=False)

    def wait(self) -> None:
        """Return when the last save is published; raise what went wrong in it."""
        finishing, self._finishing = self._finishing, None
        if finishing is not None:
            finishing.result()

    def verify(self, step: int) -> Verified:
        """Return the checkpoint after checking every file of it.

        Raises `CheckpointError` with the file and what is wrong with it, and offers the newest earlier
        checkpoint that is intact.
        """
        self.wait()
        try:
            return step_directory.verify_step(self.path(step), step)
        except CheckpointError as error:
            raise CheckpointError(f"checkpoint of step {step}: {error}; {self._remedy(step)}") from error

    def restore(
        self,
        checkpoint: Verified,
        participants: Mapping[str, Stateful],
        occasional: Mapping[str, Stateful] | None = None,
    ) -> int:
        """Give every participant its state in a checkpoint that `verify` returned; return its step.

        The `occasional` ones take part in some checkpoints and not in others. So do all whose name begins as
        `step_directory.SINK_PREFIX` says, whether they are here or not.
        """
        self.wait()
        step_directory.restore(checkpoint, participants, occasional or {}, self._reader)
        return int(checkpoint.facts["step"])

    def discard_after(self, step: int) -> None:
        """Remove the checkpoints past `step`: what a run that goes on from `step` will write anew.

        Those that are over the limit go too: the process that saved `step` may have died before.
        """
        for later in reversed([found for found in self.steps() if found > step]):
            atomic.remove(self.path(later))
        self._rotate()

    def keep_of_finished(self) -> None:
        """Remove what nobody goes on from once its stage is finished: all but the newest and the best.

        Where `save_total_limit` is None all stay.
        """
        self.wait()
        self._rotate(is_finished=True)

    def _finish(self, step: int, aside: Path, facts: Mapping[str, Any]) -> None:
        with _abandoning(self.path(step), self._backends):
            for backend in self._backends.values():
                backend.wait()
            write_manifest(aside, facts)
            atomic.publish_directory(self.path(step))
        self._rotate()

    def _rotate(self, *, is_finished: bool = False) -> None:
        steps = self._steps()
        for old in self.policy.superfluous(steps, self._scores(steps), is_finished=is_finished):
            atomic.remove(self.path(old))

    def _steps(self) -> list[int]:
        if not self.directory.is_dir():
            return []
        matches = [_STEP.fullmatch(path.name) for path in self.directory.iterdir() if path.is_dir()]
        return sorted(int(match[1]) for match in matches if match)

    def _scores(self, steps: list[int]) -> dict[int, float]:
        """Return the `keep_best` metric of the checkpoints that have it; damaged ones have none."""
        metric = self.policy.keep_best
        if metric is None:
            return {}
        scores = {step: step_directory.metric_of(self.path(step), metric) for step in steps}
        return {step: score for step, score in scores.items() if score is not None}

    def _remedy(self, step: int) -> str:
        earlier = self._newest_intact([found for found in self._steps() if found < step])
        if earlier is None:
            return "no earlier checkpoint is intact: start again under another run.name"
        return f"the one before is intact: checkpoint.resume_from={self.path(earlier)}"

    def _newest_intact(self, steps: list[int]) -> int | None:
        for step in reversed(steps):
            with suppress(CheckpointError):
                step_directory.verify_step(self.path(step), step)
                return step
        return None

    @property
    def _backend_name(self) -> str:
        return step_directory.backend_name(self._backend)

    def _backend_of(self, tree: str) -> CheckpointBackend:
        """Return a backend per tree, so that one tree's save does not wait for another's."""
        if tree not in self._backends:
            self._backends[tree] = self._backend.build(CheckpointContext())
        return self._backends[tree]

    def _reader(self, name: str) -> CheckpointBackend:
        if name == self._backend_name:
            return self._backend.build(CheckpointContext())
        return step_directory.build_installed_backend(name)


@contextmanager
def _abandoning(path: Path, backends: Mapping[str, CheckpointBackend]) -> Generator[None]:
    """Remove a save that fails, once no backend writes to it any more."""
    with atomic.abandoning(path):
        try:
            yield
        except Exception:
            for backend in backends.values():
                with suppress(Exception):  # the first error is the one to be told
                    backend.wait()
            raise

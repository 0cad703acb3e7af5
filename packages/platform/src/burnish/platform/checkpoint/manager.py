"""Which checkpoints exist: when to write one, which to keep, and how to publish or remove one atomically.

A process that dies at any moment leaves whole `step_<k>` directories, and leftovers that the next save
sweeps. One manager at a time writes to a directory: the run's lock sees to that.
"""

import re
from collections.abc import Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from burnish.platform import atomic
from burnish.platform.checkpoint import step_directory
from burnish.platform.checkpoint.backend import CheckpointBackend, CheckpointComponent, CheckpointContext
from burnish.platform.checkpoint.config import Msgpack
from burnish.platform.checkpoint.manifest import Verified, verify, write_manifest
from burnish.platform.checkpoint.retention import best_step, improves, steps_to_remove
from burnish.platform.checkpoint.snapshot import Stateful
from burnish.platform.errors import CheckpointError

_STEP = re.compile(r"step_(\d+)")
_MSGPACK = Msgpack()


class CheckpointManager:
    """Write, rotate, find and restore the checkpoints of one directory.

    `save` returns when the participants' arrays may change again; checksums, flushing and rotation follow
    in a thread, and every other method waits for it. Call `wait` before relying on what was saved.
    """

    def __init__(
        self,
        directory: Path,
        *,
        backend: CheckpointComponent = _MSGPACK,
        save_every_steps: int = 100,
        save_last: bool = True,
        save_total_limit: int | None = 2,
        keep_best: str | None = None,
        keep_best_mode: Literal["max", "min"] = "max",
    ) -> None:
        """Look at `directory`, which need not exist; nothing is written or removed before the first save.

        The options are those of the config's section `checkpoint`.
        """
        self.directory = directory
        self._backend = backend
        self._save_every_steps = save_every_steps
        self._save_last = save_last
        self._save_total_limit = save_total_limit
        self._keep_best = keep_best
        self._keep_best_mode: Literal["max", "min"] = keep_best_mode
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
        return best_step(self._scores(self.steps()), self._keep_best_mode)

    def is_due(self, step: int, last: int, metrics: Mapping[str, float] | None = None) -> bool:
        """Say whether the policy wants a checkpoint after `step` of `last`.

        True every `save_every_steps`, at the last step with `save_last`, and, where the step's `metrics` are
        given, when `keep_best` improves on every checkpoint there is.
        """
        every = self._save_every_steps
        if (every and step > 0 and step % every == 0) or (step == last and self._save_last):
            return True
        metric = self._keep_best
        if metric is None or metrics is None or metric not in metrics:
            return False
        scores = self._scores(self.steps())
        return improves(metrics[metric], scores, self._keep_best_mode)

    def save(
        self,
        step: int,
        participants: Mapping[str, Stateful],
        metrics: Mapping[str, float],
        records: Mapping[str, int] | None = None,
    ) -> None:
        """Save every participant's state as the checkpoint of `step`, replacing one that exists.

        `records` are the bytes of the run's row files so far, kept for whoever goes on from here.
        """
        self.wait()
        if self.directory.is_dir():
            atomic.sweep(self.directory)
        snapshots = {name: participant.save_state() for name, participant in participants.items()}
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
            return verify(self.path(step))
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
        self._rotate(step)

    def _finish(self, step: int, aside: Path, facts: Mapping[str, Any]) -> None:
        with _abandoning(self.path(step), self._backends):
            for backend in self._backends.values():
                backend.wait()
            write_manifest(aside, facts)
            atomic.publish_directory(self.path(step))
        self._rotate(step)

    def _rotate(self, latest: int) -> None:
        """Remove what is over the limit, once `latest` is saved."""
        best = best_step(self._scores(self._steps()), self._keep_best_mode)
        for old in steps_to_remove(self._steps(), latest, best, self._save_total_limit):
            atomic.remove(self.path(old))

    def _steps(self) -> list[int]:
        if not self.directory.is_dir():
            return []
        matches = [_STEP.fullmatch(path.name) for path in self.directory.iterdir() if path.is_dir()]
        return sorted(int(match[1]) for match in matches if match)

    def _scores(self, steps: list[int]) -> dict[int, float]:
        """Return the `keep_best` metric of the checkpoints that have it; damaged ones have none."""
        metric, scores = self._keep_best, dict[int, float]()
        for step in steps if metric is not None else []:
            try:
                scores[step] = float(step_directory.read_state(self.path(step))["metrics"][metric])
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return scores

    def _remedy(self, step: int) -> str:
        earlier = self._newest_intact([found for found in self._steps() if found < step])
        if earlier is None:
            return "no earlier checkpoint is intact: start again under another run.name"
        return f"the one before is intact: checkpoint.resume_from={self.path(earlier)}"

    def _newest_intact(self, steps: list[int]) -> int | None:
        for step in reversed(steps):
            with suppress(CheckpointError):
                verify(self.path(step))
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

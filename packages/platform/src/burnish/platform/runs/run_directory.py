"""The directory of one run: its lock, its records, its stages' directories and their completion marks.

    <output_dir>/<name>/  config.yaml run.json status.json metrics.jsonl summary.json tb/ samples/
                          stages/<n>-<name>/{checkpoints/, export/, done.json}

Every record is published as a whole, so a reader and a resumed run never meet half a file.
"""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from burnish.platform import atomic
from burnish.platform.errors import DiskError, RunError
from burnish.platform.runs.finished_stage import (
    MARK,
    FinishedStage,
    read_finished,
    record_of,
    require_directories,
)
from burnish.platform.runs.lock import RunLock
from burnish.platform.runs.records import read_record
from burnish.platform.runs.reserve import Reserve
from burnish.platform.statistics.event_files import DIRECTORY as EVENTS
from burnish.platform.statistics.event_files import event_files

_WITHOUT_STATUS = "delete it: the other files say where the run stands"


class RunDirectory:
    """Own one run's directory while its lock is held, from `acquire` to `release`.

    It belongs to the primary process of a run: in any other, whatever would write does nothing.
    """

    REWIND = "rewind.json"
    """The record of a rewind that has begun and not ended: stage and step to go back to."""

    def __init__(self, path: Path, *, is_primary: bool = True) -> None:
        self.path = path
        self.is_primary = is_primary
        self._lock = RunLock(path)
        self._reserve = Reserve(path)
        self._made: list[Path] = []
        self._started = time.time()
        self._status: dict[str, Any] = {}
        self._last_beat = 0.0

    @property
    def config(self) -> Path:
        """The resolved configuration; written last of what a run begins with."""
        return self.path / "config.yaml"

    @property
    def is_begun(self) -> bool:
        """Whether a run has begun here; one that ended before it had made anything is none."""
        has_rows = self.metrics.is_file() and self.metrics.stat().st_size > 0
        return has_rows or self._has_made

    def require_config(self) -> None:
        """Raise RunError where a run has begun and what it began with is gone: nobody can compare it."""
        if self.is_begun and not self.config.is_file():
            raise RunError(
                f"'{self.path}' holds a run whose config.yaml is gone: put it back, or set another run.name"
            )

    @property
    def metrics(self) -> Path:
        """The file with one row per stage and step."""
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """The directory of what the model wrote."""
        return self.path / "samples"

    @property
    def row_files(self) -> list[Path]:
        """The files with rows of a stage and a step: `metrics.jsonl` and those of samples."""
        return [self.metrics, *sorted(self.samples.glob("*.jsonl"))]

    def clear(self) -> None:
        """Remove what a run left behind that ended before it had made anything; what is no run's stays."""
        if not self.is_primary:
            return
        is_ours = (self.path / "run.json").is_file()
        for name in ("stages", "samples", EVENTS, self.REWIND) if is_ours else ():
            atomic.remove(self.path / name)
        atomic.sweep(self.path)
        atomic.sweep_beside(self.path)

    def take_back(self) -> None:
        """Remove the directory, if `acquire` has made it and nobody would miss what is in it.

        It goes by one renaming, with the lock in it: a process that dies here leaves the name free. Where the
        disk does not let it go, its status says what the run came to.
        """
        if self.path in self._made and not self.is_begun and not self._has_files:
            with suppress(DiskError):
                atomic.take_back(self._made)

    def flush_records(self) -> dict[str, int]:
        """Put rows and events so far on the disk and return the bytes of each file, by its path in the run.

        A checkpoint that covers them is published after them, and remembers how much there was.
        """
        there = [file for file in (*self.row_files, *event_files(self.path)) if file.is_file()]
        for path in (*there, *dict.fromkeys(file.parent for file in there)):
            atomic.flush(path)
        return {file.relative_to(self.path).as_posix(): file.stat().st_size for file in there}

    def stage(self, index: int, name: str) -> Path:
        """Return the directory of the chain's stage number `index` (from 1)."""
        return self.path / "stages" / f"{index}-{name}"

    def acquire(self) -> None:
        """Make the directory if need be and lock it; RunError where that cannot be or another holds it."""
        if not self.is_primary:
            return
        try:
            self._made = atomic.make_directory(self.path)
            self._lock.acquire()
        except OSError as error:
            raise RunError(
                f"run.output_dir: cannot write to '{self.path}': {error.strerror}; "
                "set run.output_dir to a directory you can write to"
            ) from error

    def release(self) -> None:
        """Give the lock back; what is written stays."""
        self._lock.release()

    def begin(self) -> None:
        """Record that the run is running, and keep room on the disk for saying how it ends."""
        if self.is_primary:
            self._reserve.take()
        self.status("running")

    def end(self, phase: str, reason: str | None) -> None:
        """Record how the run has ended, and leave nothing half written behind, if the disk lets us."""
        if self.is_primary:
            self._reserve.free()
            with suppress(OSError):
                atomic.sweep(self.path)
        facts = {} if reason is None else {"reason": reason}
        try:
            self.status(phase, **facts)
        except DiskError:  # no other record of the run says it: a disk that stumbles is asked once more
            self.status(phase, **facts)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one JSON record under the run's directory, atomically."""
        self.write(self.path / name, _json(content))

    def write(self, path: Path, text: str) -> None:
        """Write one of the run's files, atomically."""
        if self.is_primary:
            atomic.publish_file(path, text.encode())

    def status(self, phase: str, **facts: Any) -> None:
        """Record where the run stands, and when that was said."""
        now = time.time()
        self._status |= {"phase": phase, **facts, "heartbeat": now, "elapsed_seconds": now - self._started}
        self._last_beat = now
        self.write_json("status.json", self._status)

    def beat(self, stage: str, step: int, last: int, *, force: bool = False) -> None:
        """Record progress, at most once a second unless it must be recorded."""
        if force or time.time() - self._last_beat >= 1.0:
            self.status("running", stage=stage, step=step, last_step=last)

    def finish_stage(self, index: int, name: str, finished: FinishedStage) -> None:
        """Mark a stage as complete, with what it hands on."""
        self.write(self._mark(index, name), _json(record_of(finished, self.path)))

    def finished_stage(self, index: int, name: str) -> FinishedStage | None:
        """Return what a completed stage left behind, or None where it is not complete."""
        mark = self._mark(index, name)
        return read_finished(mark, self.path) if mark.is_file() else None

    def require_handed_on(self, index: int, name: str) -> None:
        """Raise RunError where what a completed stage hands on is gone."""
        finished = self.finished_stage(index, name)
        if finished is not None:
            require_directories(finished, self._mark(index, name))

    @property
    def is_complete(self) -> bool:
        """Whether every stage of the run has ended, and nobody has begun to go back."""
        return self._phase == "complete" and not (self.path / self.REWIND).is_file()

    def _mark(self, index: int, name: str) -> Path:
        return self.stage(index, name) / MARK

    @property
    def _has_files(self) -> bool:
        """Whether a stage or a sink has left any file, whatever it is."""
        parts = (self.path / name for name in ("stages", "samples", EVENTS))
        return any(path.is_file() for part in parts for path in part.rglob("*"))

    @property
    def _has_made(self) -> bool:
        """Whether a stage is finished, or has a checkpoint."""
        stages = self.path / "stages"
        return any(stages.glob(f"*/{MARK}")) or any(stages.glob("*/checkpoints/step_*"))

    @property
    def _phase(self) -> str | None:
        """What `status.json` says, None where there is none."""
        status = self.path / "status.json"
        if not status.is_file():
            return None
        return read_record(status, {"phase": str}, _WITHOUT_STATUS)["phase"]


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"

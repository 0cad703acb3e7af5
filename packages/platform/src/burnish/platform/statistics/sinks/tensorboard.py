"""Statistics as TensorBoard events over the global step, which rises across the stages of a chain."""

# tensorboardX ships no stubs, and its messages are made at run time.
# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

import html
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from burnish.platform import atomic
from burnish.platform.statistics.event_files import DIRECTORY, new_event_file
from burnish.platform.statistics.sink import RunEnd, Samples, SinkRow

_SCHEME = "burnish"
"""Before a path, it lets tensorboardX's record writer write through `_RecordFile`."""


class TensorBoardSink:
    """Write scalars and some samples to `tb/`, each under `metrics_namespace` where there is one.

    A row is in its file when `commit` returns: whole, or not at all. There is a file per start and stage; it
    begins with a purge from its first row's step on, so that a TensorBoard that has shown what a resumed run
    repeats drops it.
    """

    def __init__(self, directory: Path, metrics_namespace: str = "", num_samples: int = 0) -> None:
        """Make `tb/`; `DiskError` when that is impossible."""
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.record_writer import RecordWriter, register_writer_factory
        from tensorboardX.summary import text

        register_writer_factory(_SCHEME, _RecordFiles())
        self._make_writer: Any = RecordWriter
        self._make_event: Any = Event
        self._session_start: Any = SessionLog(status=SessionLog.START)
        self._make_text: Any = text
        self._run_directory = directory
        self._num_samples = num_samples
        self._samples: list[Samples] = []
        self._prefix = f"{metrics_namespace}/" if metrics_namespace else ""
        self._writer: Any = None
        self._stage: str | None = None
        self._has_header = False
        atomic.make_directory(directory / DIRECTORY)

    def commit(self, row: SinkRow, stats: Mapping[str, float]) -> None:
        """Write every finite number in one event, which costs a hundredth of one event each."""
        if row.stage != self._stage:
            self._begin(row.stage)
        events = [] if self._has_header else self._header(row.global_step)
        values = [
            {"tag": self._prefix + name, "simple_value": value}
            for name, value in stats.items()
            if math.isfinite(value)
        ]
        events.append(self._make_event(step=row.global_step, summary={"value": values}))
        events += [self._make_event(step=row.global_step, summary=text) for text in self._texts(row)]
        for event in events:
            event.wall_time = time.time()
            self._writer.write(event.SerializeToString())
        self._writer.flush()
        self._has_header = True

    def show(self, samples: Samples) -> None:
        """Keep samples until the row of their step is written."""
        self._samples.append(samples)

    def close(self, end: RunEnd) -> None:  # noqa: ARG002 - an event file has no place for it
        """Close the event file, where one was begun."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _begin(self, stage: str) -> None:
        path = new_event_file(self._run_directory, stage)
        writer = self._make_writer(f"{_SCHEME}:{path}")
        if self._writer is not None:
            self._writer.close()
        self._writer, self._stage, self._has_header = writer, stage, False

    def _texts(self, row: SinkRow) -> list[Any]:
        """Return what the tab of texts shows of a row's step: a table of samples under their name."""
        samples, self._samples = self._samples, []
        return [
            self._make_text(f"{self._prefix}samples/{each.name}", _markdown(each, self._num_samples))
            for each in samples
            if self._num_samples and (each.stage, each.step) == (row.stage, row.step)
        ]

    def _header(self, step: int) -> list[Any]:
        return [
            self._make_event(file_version="brain.Event:2"),
            self._make_event(step=step, session_log=self._session_start),
        ]


def _markdown(samples: Samples, count: int) -> str:
    lines = [samples.shown, ["---"] * len(samples.shown)]
    lines += [[_cell(row.get(column)) for column in samples.shown] for row in samples.rows[:count]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(value: Any) -> str:
    """Return a value as a cell of a table in Markdown, shown as it is and on one line."""
    text = "" if value is None else html.escape(str(value)).replace("|", "&#124;")
    return "<br>".join(text.splitlines())


class _RecordFiles:
    """Opens what tensorboardX's record writer writes to, under paths that begin with the scheme."""

    def open(self, path: str) -> "_RecordFile":
        return _RecordFile(Path(path.removeprefix(f"{_SCHEME}:")))


class _RecordFile:
    """A file for records: they wait for `flush`, which appends them as a whole and without a queue."""

    def __init__(self, path: Path) -> None:
        self._file = atomic.AppendedFile(path)
        self._waiting = bytearray()

    def write(self, content: bytes) -> None:
        self._waiting += content

    def flush(self) -> None:
        records, self._waiting = bytes(self._waiting), bytearray()
        self._file.append(records)

    def close(self) -> None:
        self._file.close()

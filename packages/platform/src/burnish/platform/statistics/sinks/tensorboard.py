"""Statistics as TensorBoard events over the global step, which rises across the stages of a chain."""

# tensorboardX ships no stubs, and its messages are made at run time.
# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false, reportUnknownVariableType=false

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from burnish.platform.errors import RunError
from burnish.platform.statistics.sink import RunEnd, SinkRow

DIRECTORY = "tb"


class TensorBoardSink:
    """Write scalars to `tb/`, each under `metrics_namespace` where there is one.

    The events begin with a purge from the first row's step on, so a resumed run replaces what it repeats.
    """

    def __init__(self, directory: Path, metrics_namespace: str = "") -> None:
        """Make `tb/`; `RunError` when that is impossible."""
        from tensorboardX import SummaryWriter
        from tensorboardX.proto.summary_pb2 import Summary

        self._make_writer: Any = SummaryWriter
        self._make_summary: Any = Summary
        self._directory = directory / DIRECTORY
        self._prefix = f"{metrics_namespace}/" if metrics_namespace else ""
        self._writer: Any = None
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"logging.sinks: cannot write '{self._directory}': {error.strerror}") from error

    def commit(self, row: SinkRow, stats: Mapping[str, float]) -> None:
        """Write every finite number as one event, which costs a hundredth of one event each, and flush it."""
        if self._writer is None:
            self._writer = self._make_writer(str(self._directory), purge_step=row.global_step)
        values = [
            {"tag": self._prefix + name, "simple_value": value}
            for name, value in stats.items()
            if math.isfinite(value)
        ]
        self._writer.file_writer.add_summary(self._make_summary(value=values), row.global_step)
        self._writer.flush()

    def close(self, end: RunEnd) -> None:  # noqa: ARG002 - an event file has no place for it
        """Close the event file, where one was begun."""
        if self._writer is not None:
            self._writer.close()

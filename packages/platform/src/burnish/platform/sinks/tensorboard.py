"""Statistics as TensorBoard events over the global step, which rises across the stages of a chain."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.platform.errors import RunError
from burnish.platform.sinks.protocol import SinkRow

if TYPE_CHECKING:
    from burnish.platform.config import LoggingConfig

DIRECTORY = "tb"


class TensorBoardSink:
    """Write scalars to `tb/`, each under `logging.metrics_namespace` where there is one.

    The events begin with a purge from the first row's step on, so a resumed run replaces what it repeats.
    """

    def __init__(self, directory: Path, logging: "LoggingConfig") -> None:
        """Make `tb/`; `RunError` when that is impossible."""
        import tensorboardX  # pyright: ignore[reportMissingTypeStubs] - ships none

        self._make_writer: Any = tensorboardX.SummaryWriter
        self._directory = directory / DIRECTORY
        self._prefix = f"{logging.metrics_namespace}/" if logging.metrics_namespace else ""
        self._writer: Any = None
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"logging.sinks: cannot write '{self._directory}': {error.strerror}") from error

    def commit(self, row: SinkRow, stats: Mapping[str, float]) -> None:
        """Write one event per finite number and flush them."""
        if self._writer is None:
            self._writer = self._make_writer(str(self._directory), purge_step=row.global_step)
        for name, value in stats.items():
            if math.isfinite(value):
                self._writer.add_scalar(self._prefix + name, value, row.global_step)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file, where one was begun."""
        if self._writer is not None:
            self._writer.close()

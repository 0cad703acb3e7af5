"""The batches of updates that were not finite, kept for reading beside their statistics."""

import dataclasses
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from burnish.llm.batch import TokenBatch
from burnish.platform import atomic
from burnish.platform.errors import DiskError

MOST = 4
"""Batches that a stage keeps, its first ones: where many updates are not finite, they say the same."""


@dataclass(frozen=True, kw_only=True)
class SkippedBatches:
    """Writes a batch to `<directory>/<name>.npz`; `say` tells the user where."""

    directory: Path
    say: Callable[[str], None]
    is_primary: bool = True
    """Whether this process writes; the others leave it to the primary one."""

    def write(self, name: str, batch: TokenBatch, statistics: Mapping[str, Any]) -> None:
        """Write one batch, unless there are enough; a disk that does not take it is said and ends nothing."""
        path = self.directory / f"{name}.npz"
        others = sum(file != path for file in self.directory.glob("*.npz"))
        if not self.is_primary or others >= MOST:
            return
        content = io.BytesIO()
        arrays: dict[str, Any] = dict(_arrays(batch, statistics))
        np.savez_compressed(content, **arrays)
        skipped = f"the update of {name} was not finite and changed nothing; its batch and statistics"
        try:
            atomic.publish_file(path, content.getvalue())
        except DiskError as error:
            self.say(f"{skipped} could not be written: {error}")
        else:
            self.say(f"{skipped} are in {path}")


def _arrays(batch: TokenBatch, statistics: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays of a batch by name, those of mappings with theirs in front; sums before counts."""
    for field in dataclasses.fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Mapping):
            yield from ((f"{field.name}/{name}", np.asarray(each)) for name, each in value.items())
        elif value is not None:
            yield field.name, np.asarray(value)
    for name, statistic in statistics.items():
        yield f"statistics/{name}", np.asarray([float(each) for each in jax.tree.leaves(statistic)])

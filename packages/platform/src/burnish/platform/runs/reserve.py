"""Room on the disk that a run keeps, so that it can say how it ended where there is no other left."""

import os
from contextlib import suppress
from pathlib import Path

from burnish.platform import atomic

_BYTES = 1 << 16
"""As much as the records of a run's end take, by far; compressing file systems must keep it too."""


class Reserve:
    """The file `reserve` of a run's directory, there while the run writes."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "reserve"

    def take(self) -> None:
        """Take the room; `DiskError` where there is none."""
        if not self._path.is_file():
            atomic.publish_file(self._path, os.urandom(_BYTES))

    def free(self) -> None:
        """Give the room back, as far as the disk lets us."""
        with suppress(OSError):
            atomic.unlink(self._path)

"""Weights on their way from a trainer to an engine: a tree, its version, and a way to write it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burnish.platform.errors import ConfigError

Write = Callable[[Path, Any], Path]
"""Writes a tree of parameters into a directory, replacing what is there, and returns it."""


@dataclass(frozen=True)
class Weights:
    """Parameters in the compute dtype at one version; an engine in this process takes the very buffers."""

    version: int
    """Rises with every change of the weights."""

    tree: Any
    write: Write | None = None
    written: set[Path] = field(default_factory=set[Path], repr=False, compare=False)
    """Directories that their trainer has written; weights of another trainer may lie there just as well."""

    name: str = "version"
    """What a directory of them is called, before the number: two kinds of weights may have the same one."""

    def export(self, parent: Path) -> Path:
        """Return `parent/<name>_<version>`, a directory in Hugging Face layout, written once per version.

        For engines elsewhere; whoever asks for it removes what it no longer needs.
        """
        directory = parent / f"{self.name}_{self.version}"
        if directory in self.written and directory.is_dir():
            return directory
        if self.write is None:
            raise ConfigError("engine: these weights cannot be written out; use an engine of this process")
        self.write(directory, self.tree)
        self.written.add(directory)
        return directory

"""The directories that stages hand to each other, and that components of a later stage are built from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Artifacts:
    """Directories by name: `model` is the one every training stage writes."""

    directories: Mapping[str, Path] = field(default_factory=dict[str, Path])

    def __getitem__(self, name: str) -> Path:
        """Return the directory called `name`, which a component may rely on when its `needs` name it."""
        return self.directories[name]

    def get(self, name: str) -> Path | None:
        """Return the directory called `name`, or None when no stage before has written one."""
        return self.directories.get(name)

    def including(self, name: str, directory: Path) -> "Artifacts":
        """Return these artifacts with the directory `name` added or replaced."""
        return replace(self, directories={**self.directories, name: directory})

    def only(self, names: Iterable[str]) -> "Artifacts":
        """Return those of these artifacts that `names` names."""
        kept = set(names)
        return Artifacts(directories={name: at for name, at in self.directories.items() if name in kept})

    def __hash__(self) -> int:
        """Return a hash that goes with equality."""
        return hash(frozenset(self.directories.items()))

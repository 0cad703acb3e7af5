"""Which parameters are trained: one cut for gradient, accumulator, optimizer and checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from burnish.platform.errors import ConfigError

Path = tuple[str, ...]


@dataclass(frozen=True)
class Partition:
    """Cuts a tree of nested dicts, parameters or anything laid out like them, into trainable and frozen.

    A leaf is frozen when a pattern matches its path, `layers/mlp/up`, or a part of it from the root,
    `layers/mlp`; patterns are those of a shell.
    """

    frozen: tuple[str, ...] = ()

    def split(self, tree: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the trainable and the frozen part, each with the leaves it has and no others."""
        parts: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        for path, leaf in _leaves(tree):
            _insert(parts[self.is_frozen(path)], path, leaf)
        return parts

    def merge(self, trainable: Mapping[str, Any], frozen: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tree that `split` has cut; no leaf is copied."""
        merged: dict[str, Any] = {}
        for part in (trainable, frozen):
            for path, leaf in _leaves(part):
                _insert(merged, path, leaf)
        return merged

    def is_frozen(self, path: Path) -> bool:
        """Say whether the leaf at `path` stays as it is."""
        names = ["/".join(path[:depth]) for depth in range(1, len(path) + 1)]
        return any(fnmatchcase(name, pattern) for name in names for pattern in self.frozen)

    def check(self, tree: Mapping[str, Any]) -> None:
        """Raise ConfigError for a pattern that matches nothing, and when nothing is left to train."""
        paths = [path for path, _ in _leaves(tree)]
        for pattern in self.frozen:
            if not any(Partition((pattern,)).is_frozen(path) for path in paths):
                legal = ", ".join("/".join(path) for path in paths)
                raise ConfigError(f"frozen: '{pattern}' matches no parameter; there are {legal}")
        if all(map(self.is_frozen, paths)):
            raise ConfigError(f"frozen={list(self.frozen)} freezes every parameter: leave one to be trained")


def _leaves(tree: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    for key in sorted(tree):
        if isinstance(tree[key], Mapping):
            yield from _leaves(tree[key], (*path, key))
        else:
            yield (*path, key), tree[key]


def _insert(tree: dict[str, Any], path: Path, leaf: Any) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = leaf

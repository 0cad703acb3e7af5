"""Which parameters are trained: one cut for gradient, accumulator, optimizer and checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import jax
import jax.numpy as jnp

from burnish.llm.families.parameters import leaves_by_path
from burnish.llm.families.protocol import Path
from burnish.platform.errors import ConfigError


@dataclass(frozen=True)
class Partition:
    """Cuts a tree of nested dicts, parameters or anything laid out like them, into trainable and frozen.

    A leaf is frozen when a pattern matches its path, `layers/mlp/up`, or a part of it from the root,
    `layers/mlp`; patterns are those of a shell. Of one that a pattern of `rows` matches, the rows before the
    given one are frozen and the others trained.
    """

    frozen: tuple[str, ...] = ()
    rows: tuple[tuple[str, int], ...] = ()

    def split(
        self, tree: Mapping[str, Any], cut: Callable[[Any, slice], Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the trainable and the frozen part, each with the leaves or rows it has and no others.

        `cut` takes rows of a leaf; without it a leaf is an array, or the shape and dtype of one.
        """
        parts: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        cut = cut or _rows_of
        for path, leaf in leaves_by_path(tree).items():
            first = self.first_row(path)
            if first == 0 or self.is_frozen(path):
                _insert(parts[self.is_frozen(path)], path, leaf)
            else:
                _insert(parts[0], path, cut(leaf, slice(first, None)))
                _insert(parts[1], path, cut(leaf, slice(0, first)))
        return parts

    def merge(self, trainable: Mapping[str, Any], frozen: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tree that `split` has cut; no leaf is copied but those whose rows are put together."""
        merged: dict[str, Any] = {}
        kept = leaves_by_path(frozen)
        for path, leaf in leaves_by_path(trainable).items():
            whole = jnp.concatenate([kept.pop(path), leaf]) if path in kept else leaf
            _insert(merged, path, whole)
        for path, leaf in kept.items():
            _insert(merged, path, leaf)
        return merged

    def is_frozen(self, path: Path) -> bool:
        """Say whether the leaf at `path` stays as it is, all of it."""
        return any(matches(pattern, path) for pattern in self.frozen)

    def first_row(self, path: Path) -> int:
        """Return the first row of the leaf at `path` that is trained, unless the leaf is frozen."""
        return max((first for pattern, first in self.rows if matches(pattern, path)), default=0)

    def check(self, tree: Mapping[str, Any]) -> None:
        """Raise ConfigError for a pattern that matches nothing, and when nothing is left to train."""
        leaves = leaves_by_path(tree)
        options = [("frozen", pattern) for pattern in self.frozen]
        options += [("trainable_rows", pattern) for pattern, _ in self.rows]
        for option, pattern in options:
            if not any(matches(pattern, path) for path in leaves):
                legal = ", ".join(map("/".join, leaves))
                raise ConfigError(f"{option}: '{pattern}' matches no parameter; there are {legal}")
        if all(map(self.is_frozen, leaves)):
            raise ConfigError(f"frozen={list(self.frozen)} freezes every parameter: leave one to be trained")
        for pattern, first in self.rows:
            for path in (path for path in leaves if matches(pattern, path)):
                self._check_rows(pattern, first, path, leaves[path].shape[0])

    def _check_rows(self, pattern: str, first: int, path: Path, num_rows: int) -> None:
        where, name = f"trainable_rows.{pattern}={first}", "/".join(path)
        if self.is_frozen(path):
            raise ConfigError(f"{where}: frozen names '{name}' too, all of it; take it out of one of them")
        if first >= num_rows:
            raise ConfigError(
                f"{where}: none of the {num_rows} rows of '{name}' would be trained; "
                f"legal: 1 to {num_rows - 1}"
            )


def matches(pattern: str, path: Path) -> bool:
    """Say whether a pattern matches a path, or a part of it from the root."""
    return any(fnmatchcase("/".join(path[:depth]), pattern) for depth in range(1, len(path) + 1))


def _rows_of(leaf: Any, rows: slice) -> Any:
    if isinstance(leaf, jax.ShapeDtypeStruct):
        num_rows = len(range(*rows.indices(leaf.shape[0])))
        return jax.ShapeDtypeStruct((num_rows, *leaf.shape[1:]), leaf.dtype)
    return leaf[rows]


def _insert(tree: dict[str, Any], path: Path, leaf: Any) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = leaf

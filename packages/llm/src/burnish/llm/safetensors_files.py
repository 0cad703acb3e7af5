"""Safetensors of a Hugging Face directory: held against a model by headers, read tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from burnish.llm.json_object import read_object
from burnish.llm.tensor_layout import StoredTensor
from burnish.platform.errors import CheckpointError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TYPES = ("F64", "F32", "F16", "BF16")
"""Types of stored weights, as safetensors calls them."""


@dataclass(frozen=True)
class TensorFiles:
    """The open files of a directory, with the tensors that each holds."""

    directory: Path
    opened: Mapping[str, Any]
    """The file of each tensor by its name, those that a model does not read included."""

    def rows(self, name: str, rows: tuple[int, int] | None = None) -> np.ndarray:
        """Return rows of a tensor, or all of it; nothing else of the file is read."""
        file = self.opened[name]
        return file.get_tensor(name) if rows is None else file.get_slice(name)[slice(*rows)]

    def finite_rows(self, name: str, rows: tuple[int, int] | None = None) -> np.ndarray:
        """Return rows of a tensor; CheckpointError where one has no number that can be computed with."""
        found = self.rows(name, rows)
        if not np.isfinite(found).all():
            raise CheckpointError(
                f"{self.directory}: `{name}` has entries that are NaN or infinite: copy it again"
            )
        return found

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, by the header of its file."""
        return tuple(self.opened[name].get_slice(name).get_shape())


@contextmanager
def open_tensors(
    directory: Path, stored: Mapping[str, StoredTensor], ignored: Sequence[str]
) -> Iterator[TensorFiles]:
    """Give the files of a directory, all names, shapes and types compared with what is `stored` there."""
    files = _tensor_files(directory)
    _compare_names(directory, set(stored), set(files), ignored)
    with ExitStack() as stack:
        opened = {file: stack.enter_context(_open(directory / file)) for file in sorted(set(files.values()))}
        for name, content in stored.items():
            _check_stored(directory / files[name], opened[files[name]], name, content.shape)
        yield TensorFiles(directory, {name: opened[file] for name, file in files.items()})


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Return every tensor of one file by its name; CheckpointError where it cannot be computed with."""
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: copy it there")
    with _open(path) as file:
        names = list(file.keys())
        for name in names:
            _check_stored(path, file, name, tuple(file.get_slice(name).get_shape()))
        return {name: TensorFiles(path.parent, {name: file}).finite_rows(name) for name in names}


def _tensor_files(directory: Path) -> dict[str, str]:
    """Return the file of every tensor in the directory."""
    index = directory / INDEX
    if index.is_file():
        weight_map = read_object(index).get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(each, str) for each in weight_map.values()):
            raise CheckpointError(f"{index} has no `weight_map` from tensors to files: copy it again")
        names = sorted(set(weight_map.values()))
        if outside := [name for name in names if Path(name).name != name]:
            raise CheckpointError(f"{index} names {outside[:4]}, which are not beside it: copy it again")
        if absent := [name for name in names if not (directory / name).is_file()]:
            raise CheckpointError(f"{index} names {absent[:4]}, which are missing: copy them there")
        return weight_map
    if not (directory / WEIGHTS).is_file():
        raise CheckpointError(
            f"{directory} holds neither {WEIGHTS} nor {INDEX}: save the model as safetensors"
        )
    with _open(directory / WEIGHTS) as file:
        return dict.fromkeys(file.keys(), WEIGHTS)


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="numpy")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is no complete safetensors file ({error}): copy it again") from error


def _check_stored(path: Path, file: Any, name: str, shape: tuple[int, ...]) -> None:
    """Compare a tensor's shape and type with what the model needs, by the header of its file."""
    try:
        stored = file.get_slice(name)
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} has no `{name}`, which {INDEX} says it has: copy both again"
        ) from error
    if tuple(stored.get_shape()) != shape:
        raise CheckpointError(
            f"{path}: `{name}` is {tuple(stored.get_shape())}, config.json makes it {shape}"
        )
    if stored.get_dtype() not in TYPES:
        raise CheckpointError(
            f"{path}: `{name}` is of type {stored.get_dtype()}; legal: {', '.join(TYPES)}: save the weights "
            "unquantized"
        )


def _compare_names(directory: Path, expected: set[str], found: set[str], ignored: Sequence[str]) -> None:
    others = {name for name in found - expected if not any(fnmatchcase(name, each) for each in ignored)}
    missing, unexpected = sorted(expected - found), sorted(others)
    if missing or unexpected:
        raise CheckpointError(
            f"{directory}: the weights do not fit config.json: missing {_listing(missing)}; "
            f"unexpected {_listing(unexpected)}"
        )


def _listing(names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(f"`{name}`" for name in names[:4]) + more if names else "nothing"

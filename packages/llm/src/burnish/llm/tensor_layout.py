"""Which part of which parameter each stored tensor holds: what reading and writing weights go by.

One tensor may hold parts of several leaves, and one leaf parts of several tensors.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from burnish.llm.families.protocol import CausalLM, MatrixDims, Path
from burnish.llm.families.tensor_name import TensorName
from burnish.platform.configuration.conformance import departure

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Piece:
    """What one tensor and one leaf have in common."""

    name: TensorName
    path: Path
    """Of the leaf."""
    index: tuple[int | slice, ...]
    """Where it is in the leaf."""
    shape: Shape
    """Of the leaf at that index."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a checkpoint and the pieces it consists of, in the order of its rows."""

    pieces: tuple[Piece, ...]
    shape: Shape


def stored_tensors(model: CausalLM) -> dict[str, StoredTensor]:
    """Return every tensor of a model's checkpoint by its name.

    Raises:
        ComponentError: the model's names do not fit its leaves, or leave rows of a tensor out.
    """
    found: dict[str, list[Piece]] = {}
    try:
        for path, shape in leaf_shapes(model).items():
            for tensor, piece in _pieces(model.parameter_names[path], path, shape):
                found.setdefault(tensor, []).append(piece)
        return {tensor: _joined(tensor, pieces) for tensor, pieces in found.items()}
    except ValueError as error:
        raise departure("family", model, str(error), CausalLM, "parameter_names") from error


def tensors_of_leaves(stored: Mapping[str, StoredTensor]) -> dict[Path, list[tuple[str, Piece]]]:
    """Return the tensors that each leaf is made of, by its path, in the order of the leaf."""
    found: dict[Path, list[tuple[str, Piece]]] = {}
    for tensor, content in stored.items():
        for piece in content.pieces:
            found.setdefault(piece.path, []).append((tensor, piece))
    return found


def lookup_table(model: CausalLM) -> Path | None:
    """Return the path of the table whose rows are looked up by token, None where `matrices` names none."""
    shapes, of_tokens = leaf_shapes(model), (model.vocab_size, model.hidden_size)
    lookups = (path for path, dims in model.matrices.items() if dims == MatrixDims((0,), (1,)))
    return next((path for path in lookups if shapes.get(path) == of_tokens), None)


def leaf_shapes(model: CausalLM) -> dict[Path, Shape]:
    """Return the shape of every named leaf by its path."""
    abstract = model.abstract("float32")
    return {path: tuple(leaf_at(abstract, path).shape) for path in model.parameter_names}


def leaf_at(tree: Any, path: Path) -> Any:
    """Return the leaf at a path."""
    for key in path:
        tree = tree[key]
    return tree


def huggingface_shape(name: TensorName, shape: Shape) -> Shape:
    """Return the shape in which a piece of this shape is stored."""
    if name.num_input_dims is None:
        return shape
    outputs = math.prod(shape[name.num_input_dims :])
    return (outputs, math.prod(shape[: name.num_input_dims])) if name.num_input_dims else (outputs,)


def to_huggingface(array: np.ndarray, name: TensorName) -> np.ndarray:
    """Return a piece of a leaf as it is stored: a matrix as a view `[out, in]`."""
    return (
        array.reshape(huggingface_shape(name, array.shape)[::-1]).T
        if name.num_input_dims is not None
        else array
    )


def from_huggingface(tensor: np.ndarray, name: TensorName, shape: Shape) -> np.ndarray:
    """Return stored rows as the piece of `shape` of a leaf, a view of them."""
    if name.num_input_dims is None:
        return tensor
    inputs, outputs = shape[: name.num_input_dims], shape[name.num_input_dims :]
    dims = range(len(shape))
    return tensor.reshape(outputs + inputs).transpose(*dims[len(outputs) :], *dims[: len(outputs)])


def _pieces(
    names: TensorName | tuple[TensorName, ...], path: Path, shape: Shape
) -> Iterator[tuple[str, Piece]]:
    """Yield the pieces of one leaf, each with the name of its tensor."""
    parts = names if isinstance(names, tuple) else (names,)
    where = f"`{'/'.join(path)}`"
    _check_kinds(parts, shape, where)
    num_stacked = parts[0].num_stacked
    counts, one, dim = shape[:num_stacked], shape[num_stacked:], parts[0].num_input_dims or 0
    starts = np.cumsum([0, *_sizes(parts, one, where)]).tolist()
    for part, start, stop in zip(parts, starts, starts[1:], strict=False):
        is_whole = len(parts) == 1
        cut = () if is_whole else (*[slice(None)] * dim, slice(start, stop))
        of_part = one if is_whole else (*one[:dim], stop - start, *one[dim + 1 :])
        if part.rows is not None and part.rows[1] - part.rows[0] != huggingface_shape(part, of_part)[0]:
            raise ValueError(f"gives {where} rows {part.rows}, which are not as many as it has")
        for index in np.ndindex(counts):
            yield part.tensor(index), Piece(part, path, (*index, *cut), of_part)


def _check_kinds(parts: tuple[TensorName, ...], shape: Shape, where: str) -> None:
    """Refuse tensors of one leaf that have not the same dims, and layers that are not the leaf's."""
    if len({(part.num_stacked, part.num_input_dims) for part in parts}) != 1:
        raise ValueError(f"gives {where} tensors of different kinds")
    for part in parts:
        num_layers = shape[0] if "{layer}" in part.template else 0
        if part.layers and len(part.layers) != num_layers:
            raise ValueError(f"gives {where} {shape} other `layers` than the leaf has")


def _sizes(parts: tuple[TensorName, ...], one: Shape, where: str) -> list[int]:
    """Return how much of the first output dim of a leaf each of its tensors has."""
    dim = parts[0].num_input_dims or 0
    if len(parts) == 1:
        return [0]
    if dim >= len(one):
        raise ValueError(f"gives {where}, which has no output dim, several tensors")
    rows_each = 1 if parts[0].num_input_dims is None else math.prod(one[dim + 1 :])
    given = [None if part.rows is None else (part.rows[1] - part.rows[0]) // rows_each for part in parts]
    left, shares = one[dim] - sum(size or 0 for size in given), given.count(None)
    fits = left == 0 if shares == 0 else left > 0 and left % shares == 0
    if not fits:
        raise ValueError(f"gives {where} tensors that do not make it up")
    return [left // shares if size is None else size for size in given]


def _joined(tensor: str, pieces: list[Piece]) -> StoredTensor:
    """Return a tensor of pieces whose rows follow each other."""
    ordered = sorted(pieces, key=lambda piece: piece.name.rows or (0, 0))
    shapes = [huggingface_shape(piece.name, piece.shape) for piece in ordered]
    if len(ordered) == 1 and ordered[0].name.rows is None:
        return StoredTensor(tuple(ordered), shapes[0])
    rows = [piece.name.rows for piece in ordered]
    ends = [0, *(each[1] for each in rows if each is not None)]
    if None in rows or [each[0] for each in rows if each is not None] != ends[:-1]:
        told = ", ".join("all" if each is None else f"{each[0]} to {each[1]}" for each in rows)
        raise ValueError(f"gives `{tensor}` rows that do not follow each other from 0: {told}")
    if len({shape[1:] for shape in shapes}) > 1:
        raise ValueError(f"gives `{tensor}` parts of different widths")
    return StoredTensor(tuple(ordered), (ends[-1], *shapes[0][1:]))

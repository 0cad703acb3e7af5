"""Parameters in and out of Hugging Face directories: safetensors, whole or sharded by an index.

Names and layouts come from `CausalLM.parameter_names`, by way of `tensor_layout`. Reading holds one tensor
besides the result, which may lie on devices; writing holds one shard.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jax.numpy import dtype as dtype_of
from safetensors.numpy import save_file

from burnish.llm.families.parameters import leaves_by_path, nest
from burnish.llm.families.protocol import CausalLM
from burnish.llm.placement import Index, filled
from burnish.llm.safetensors_files import INDEX, WEIGHTS, TensorFiles, open_tensors
from burnish.llm.tensor_layout import (
    Piece,
    StoredTensor,
    from_huggingface,
    leaf_at,
    leaf_shapes,
    lookup_table,
    stored_tensors,
    tensors_of_leaves,
    to_huggingface,
)
from burnish.platform import atomic
from burnish.platform.errors import CheckpointError

HEAD = "lm_head.weight"
"""What transformers calls the head, also in the files of models that have none of their own."""


def load_huggingface(directory: Path, model: CausalLM, like: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters in a Hugging Face directory that `like` asks for, see `burnish.llm.bundle.Load`.

    `CheckpointError` names missing and unexpected tensors and wrong shapes, and a head of its own in the
    files of a model whose config ties it to the embedding: transformers would take that head.
    """
    stored = stored_tensors(model)
    tensors_of = tensors_of_leaves(stored)
    with _opened(directory, model, stored) as (files, copied):
        return nest(
            {
                path: filled(likeness, _pieces(files, tensors_of[path], is_copied=path == copied))
                for path, likeness in leaves_by_path(like).items()
            }
        )


def check_huggingface(directory: Path, model: CausalLM) -> None:
    """Raise the `CheckpointError` that loading would for names, shapes and types, which headers tell."""
    with _opened(directory, model, stored_tensors(model)):
        pass


def save_huggingface(
    directory: Path, model: CausalLM, params: Mapping[str, Any], dtype: str, max_shard_bytes: int = 5 * 10**9
) -> None:
    """Write weights and `config.json` into an existing directory, cast to `dtype`.

    One file up to `max_shard_bytes`; beyond it, shards and their index.
    """
    target = dtype_of(dtype)
    shards: list[list[tuple[str, StoredTensor]]] = [[]]
    sizes = [0]
    for name, stored in _storing(model, params).items():
        num_bytes = math.prod(stored.shape) * target.itemsize
        if shards[-1] and sizes[-1] + num_bytes > max_shard_bytes:
            shards.append([])
            sizes.append(0)
        shards[-1].append((name, stored))
        sizes[-1] += num_bytes
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file = WEIGHTS if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        arrays = {name: _made(stored, params).astype(target) for name, stored in shard}
        save_tensors(directory / file, arrays)
        weight_map |= dict.fromkeys(arrays, file)
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(sizes)}, "weight_map": weight_map}
        _write_json(directory / INDEX, index)
    _write_json(directory / "config.json", {**model.hf_config, "dtype": str(target)})


def save_tensors(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write one file of tensors."""
    # safetensors writes the buffer of a transposed view as it lies, so each array is made contiguous.
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with atomic.naming(path):
        save_file(contiguous, path, metadata={"format": "pt"})


def _storing(model: CausalLM, params: Mapping[str, Any]) -> dict[str, StoredTensor]:
    """Return the tensors that parameters are stored in; CheckpointError where these are of another model."""
    for path, shape in leaf_shapes(model).items():
        found = tuple(leaf_at(params, path).shape)
        if found != shape:
            raise CheckpointError(f"parameter {'/'.join(path)} is {found}, the model needs {shape}")
    return stored_tensors(model)


def _made(stored: StoredTensor, params: Mapping[str, Any]) -> np.ndarray:
    """Return a tensor as it is stored, made of its pieces."""
    made = [
        to_huggingface(np.asarray(leaf_at(params, piece.path)[piece.index]), piece.name)
        for piece in stored.pieces
    ]
    return made[0] if len(made) == 1 else np.concatenate(made)


@contextmanager
def _opened(
    directory: Path, model: CausalLM, stored: Mapping[str, StoredTensor]
) -> Iterator[tuple[TensorFiles, tuple[str, ...] | None]]:
    """Give the files, and the path of the leaf that a head in them has to be a copy of, None without one."""
    with open_tensors(directory, stored, model.ignored_names) as files:
        path = lookup_table(model) if HEAD in files.opened and HEAD not in stored else None
        if path is not None and files.shape(HEAD) != leaf_shapes(model)[path]:
            raise _other_head(directory, tensors_of_leaves(stored)[path][0][0])
        yield files, path


def _pieces(
    files: TensorFiles, tensors: Sequence[tuple[str, Piece]], *, is_copied: bool
) -> Iterator[tuple[Index, np.ndarray]]:
    """Yield what the files hold of one leaf, each tensor when it is asked for.

    Of a leaf that a head has to be a copy of, the same rows of the head are compared.
    """
    row = 0
    for tensor, piece in tensors:
        values = from_huggingface(files.finite_rows(tensor, piece.name.rows), piece.name, piece.shape)
        if is_copied:
            head = files.rows(HEAD, (row, row := row + len(values)))
            if not np.array_equal(head, values):
                raise _other_head(files.directory, tensor)
        yield piece.index, values


def _other_head(directory: Path, embedding: str) -> CheckpointError:
    return CheckpointError(
        f"{directory}: `{HEAD}` differs from `{embedding}`, and config.json ties them: set "
        "tie_word_embeddings to false there, or take that tensor out"
    )


def _write_json(path: Path, content: Any) -> None:
    atomic.write_file(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())

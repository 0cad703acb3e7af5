"""Parameters in and out of Hugging Face directories: safetensors, whole or sharded by an index.

Names and layouts come from `CausalLM.parameter_names`, by way of `tensor_layout`. Reading holds one tensor
besides the result, writing one shard.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from jax.numpy import dtype as dtype_of
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from burnish.llm.families.parameters import nest
from burnish.llm.families.protocol import CausalLM
from burnish.llm.json_object import read_object
from burnish.llm.tensor_layout import (
    StoredTensor,
    from_huggingface,
    leaf_at,
    leaf_shapes,
    stored_tensors,
    to_huggingface,
)
from burnish.platform import atomic
from burnish.platform.errors import CheckpointError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
HEAD = "lm_head.weight"
TYPES = ("F64", "F32", "F16", "BF16")
"""Types of stored weights, as safetensors calls them."""


def load_huggingface(directory: Path, model: CausalLM, dtype: str = "float32") -> dict[str, Any]:
    """Return the parameters in a Hugging Face directory as a numpy tree of `dtype`.

    `CheckpointError` names missing and unexpected tensors and wrong shapes, and a head of its own in the
    files of a model whose config ties it to the embedding: transformers would take that head.
    """
    stored = stored_tensors(model)
    with _opened(directory, model, stored) as read:
        leaves = {path: np.empty(shape, dtype_of(dtype)) for path, shape in leaf_shapes(model).items()}
        for tensor, content in stored.items():
            for piece in content.pieces:
                rows = read(tensor, piece.name.rows)
                leaves[piece.path][piece.index] = from_huggingface(rows, piece.name, piece.shape)
    return nest(leaves)


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
        # safetensors writes the buffer of a transposed view as it lies, so each array is made contiguous.
        arrays = {name: np.ascontiguousarray(_made(stored, params).astype(target)) for name, stored in shard}
        with atomic.naming(directory / file):
            save_file(arrays, directory / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(arrays, file)
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(sizes)}, "weight_map": weight_map}
        _write_json(directory / INDEX, index)
    _write_json(directory / "config.json", {**model.hf_config, "dtype": str(target)})


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
) -> Iterator[Callable[[str, tuple[int, int] | None], np.ndarray]]:
    """Give a function that reads rows of a tensor; all names and shapes are compared before the first."""
    files = _tensor_files(directory)
    _compare_names(directory, set(stored), set(files), model.ignored_names)
    with ExitStack() as stack:
        opened = {file: stack.enter_context(_open(directory / file)) for file in sorted(set(files.values()))}
        for name, content in stored.items():
            _check_stored(directory / files[name], opened[files[name]], name, content.shape)

        def read(name: str, rows: tuple[int, int] | None) -> np.ndarray:
            file = opened[files[name]]
            found = file.get_tensor(name) if rows is None else file.get_slice(name)[slice(*rows)]
            return _finite(directory, name, found)

        embedding = [name for name, tensor in stored.items() if tensor.pieces[0].path == ("embed",)]
        if embedding and ("head",) not in model.parameter_names and HEAD in files:
            tables = [opened[files[name]].get_tensor(name) for name in embedding]
            _require_tied(directory, embedding[0], opened[files[HEAD]].get_tensor(HEAD), tables)
        yield read


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


def _finite(directory: Path, name: str, tensor: np.ndarray) -> np.ndarray:
    """Return a tensor; CheckpointError where an entry of it is no number that can be computed with."""
    if not np.isfinite(tensor).all():
        raise CheckpointError(f"{directory}: `{name}` has entries that are NaN or infinite: copy it again")
    return tensor


def _compare_names(directory: Path, expected: set[str], found: set[str], ignored: Sequence[str]) -> None:
    others = {name for name in found - expected if not any(fnmatchcase(name, each) for each in ignored)}
    missing, unexpected = sorted(expected - found), sorted(others)
    if missing or unexpected:
        raise CheckpointError(
            f"{directory}: the weights do not fit config.json: missing {_listing(missing)}; "
            f"unexpected {_listing(unexpected)}"
        )


def _require_tied(directory: Path, embedding: str, head: np.ndarray, tables: list[np.ndarray]) -> None:
    if not np.array_equal(head, np.concatenate(tables)):
        raise CheckpointError(
            f"{directory}: `{HEAD}` differs from `{embedding}`, and config.json ties them: set "
            "tie_word_embeddings to false there, or take that tensor out"
        )


def _listing(names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(f"`{name}`" for name in names[:4]) + more if names else "nothing"


def _write_json(path: Path, content: Any) -> None:
    atomic.write_file(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())

"""Parameters in and out of Hugging Face directories: safetensors, whole or sharded by an index.

Names and layouts come from `CausalLM.parameter_names`. Reading holds one tensor besides the result, writing
one shard.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jax.numpy import dtype as dtype_of
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from burnish.llm.families.protocol import CausalLM, TensorName
from burnish.llm.json_object import read_object
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
    with _opened(directory, model) as tensors:
        leaves = _leaves(model)
        tree: dict[str, Any] = {}
        for path, (name, shape) in leaves.items():
            array = np.empty(shape, dtype_of(dtype))
            slices = array.reshape(-1, *shape[name.num_stacked :])
            for index, tensor_name in enumerate(name.tensors(shape)):
                slices[index] = from_huggingface(tensors(tensor_name), name, slices.shape[1:])
            _insert(tree, path, array)
    return tree


def check_huggingface(directory: Path, model: CausalLM) -> None:
    """Raise the `CheckpointError` that loading would for names, shapes and types, which headers tell."""
    with _opened(directory, model):
        pass


def save_huggingface(
    directory: Path, model: CausalLM, params: Mapping[str, Any], dtype: str, max_shard_bytes: int = 5 * 10**9
) -> None:
    """Write weights and `config.json` into an existing directory, cast to `dtype`.

    One file up to `max_shard_bytes`; beyond it, shards and their index.
    """
    target = dtype_of(dtype)
    shards: list[list[tuple[str, Any]]] = [[]]
    sizes = [0]
    for name, slice_of, size in _tensors(model, params):
        num_bytes = size * target.itemsize
        if shards[-1] and sizes[-1] + num_bytes > max_shard_bytes:
            shards.append([])
            sizes.append(0)
        shards[-1].append((name, slice_of))
        sizes[-1] += num_bytes
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file = WEIGHTS if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        # safetensors writes the buffer of a transposed view as it lies, so each array is made contiguous.
        arrays = {name: np.ascontiguousarray(slice_of().astype(target)) for name, slice_of in shard}
        with atomic.naming(directory / file):
            save_file(arrays, directory / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(arrays, file)
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(sizes)}, "weight_map": weight_map}
        _write_json(directory / INDEX, index)
    _write_json(directory / "config.json", {**model.hf_config, "dtype": str(target)})


def huggingface_shape(name: TensorName, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape in which one tensor of a leaf is stored."""
    if name.num_input_dims is None:
        return shape
    outputs = math.prod(shape[name.num_input_dims :])
    return (outputs, math.prod(shape[: name.num_input_dims])) if name.num_input_dims else (outputs,)


def to_huggingface(array: np.ndarray, name: TensorName) -> np.ndarray:
    """Return one tensor of a leaf as it is stored: a matrix as a view `[out, in]`."""
    return (
        array.reshape(huggingface_shape(name, array.shape)[::-1]).T
        if name.num_input_dims is not None
        else array
    )


def from_huggingface(tensor: np.ndarray, name: TensorName, shape: tuple[int, ...]) -> np.ndarray:
    """Return a stored tensor as the part of `shape` of a leaf."""
    return tensor.T.reshape(shape) if name.num_input_dims is not None else tensor


def _leaves(model: CausalLM) -> dict[tuple[str, ...], tuple[TensorName, tuple[int, ...]]]:
    """Return name and shape of every leaf by its path."""
    abstract = model.abstract("float32")
    return {path: (name, _at(abstract, path).shape) for path, name in model.parameter_names.items()}


def _tensors(model: CausalLM, params: Mapping[str, Any]) -> Iterator[tuple[str, Any, int]]:
    """Yield each tensor's name, a function that makes it, and its number of elements."""
    for path, (name, shape) in _leaves(model).items():
        leaf = _at(params, path)
        if tuple(leaf.shape) != shape:
            raise CheckpointError(
                f"parameter {'/'.join(path)} is {tuple(leaf.shape)}, the model needs {shape}"
            )
        counts, one = shape[: name.num_stacked], shape[name.num_stacked :]
        for index, tensor_name in zip(np.ndindex(counts), name.tensors(shape), strict=True):
            yield tensor_name, _maker(leaf, name, index), math.prod(one)


def _maker(leaf: Any, name: TensorName, index: tuple[int, ...]) -> Any:
    return lambda: to_huggingface(np.asarray(leaf[index]), name)


@contextmanager
def _opened(directory: Path, model: CausalLM) -> Iterator[Callable[[str], np.ndarray]]:
    """Give a function that reads a tensor by its name; all names and shapes are compared before the first."""
    files = _tensor_files(directory)
    leaves = _leaves(model)
    shapes = {
        tensor: huggingface_shape(name, shape[name.num_stacked :])
        for name, shape in leaves.values()
        for tensor in name.tensors(shape)
    }
    is_tied = ("head",) not in leaves
    _compare_names(directory, set(shapes), set(files), is_tied=is_tied)
    with ExitStack() as stack:
        opened = {file: stack.enter_context(_open(directory / file)) for file in sorted(set(files.values()))}
        for name, shape in shapes.items():
            _check_stored(directory / files[name], opened[files[name]], name, shape)

        def read(name: str) -> np.ndarray:
            return _finite(directory, name, opened[files[name]].get_tensor(name))

        if is_tied and HEAD in files:
            embedding = leaves[("embed",)][0].template
            _require_tied(directory, embedding, opened[files[HEAD]], opened[files[embedding]])
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


def _compare_names(directory: Path, expected: set[str], found: set[str], *, is_tied: bool) -> None:
    ignored = {name for name in found if name.endswith("rotary_emb.inv_freq")}
    ignored |= {HEAD} if is_tied else set()
    missing, unexpected = sorted(expected - found), sorted(found - expected - ignored)
    if missing or unexpected:
        raise CheckpointError(
            f"{directory}: the weights do not fit config.json: missing {_listing(missing)}; "
            f"unexpected {_listing(unexpected)}"
        )


def _require_tied(directory: Path, embedding: str, of_head: Any, of_embedding: Any) -> None:
    if not np.array_equal(of_head.get_tensor(HEAD), of_embedding.get_tensor(embedding)):
        raise CheckpointError(
            f"{directory}: `{HEAD}` differs from `{embedding}`, and config.json ties them: set "
            "tie_word_embeddings to false there, or take that tensor out"
        )


def _listing(names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(f"`{name}`" for name in names[:4]) + more if names else "nothing"


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _insert(tree: dict[str, Any], path: tuple[str, ...], leaf: Any) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = leaf


def _write_json(path: Path, content: Any) -> None:
    atomic.write_file(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())

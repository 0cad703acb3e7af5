"""Array trees in one msgpack file: no dependency to speak of, a millisecond for a tiny state.

The file is a sequence of objects: a header, then for each leaf its name, shape and dtype followed by its
bytes in chunks (msgpack holds 4 GiB an object at most). Writing streams leaf by leaf and is synchronous.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import msgpack  # pyright: ignore[reportMissingTypeStubs] - ships none
import numpy as np
from numpy.typing import NDArray

from burnish.platform import atomic
from burnish.platform.checkpoint.leaves import LeafSpec, named_leaves, place, rebuild, require_fit, spec_of
from burnish.platform.checkpoint.snapshot import Tree
from burnish.platform.errors import CheckpointError

FILE = "arrays.msgpack"

_FORMAT = 1
_CHUNK_BYTES = 1 << 28


class MsgpackBackend:
    """Write and read whole trees in this process; arrays must be addressable from it."""

    def save(self, path: Path, tree: Tree) -> None:
        """Write `tree` to `arrays.msgpack` under the new directory `path`; complete on return."""
        atomic.add_directory(path)
        leaves = named_leaves(tree)
        with atomic.creating_file(path / FILE) as write:
            write(_pack({"format": _FORMAT, "num_leaves": len(leaves)}))
            for name, leaf in leaves.items():
                _write_leaf(write, name, np.asarray(leaf))

    def load(self, path: Path, like: Tree) -> Tree:
        """Return the tree with the structure, shapes, dtypes and shardings of `like`."""
        likenesses = named_leaves(like)
        specs: dict[str, LeafSpec] = {}
        placed: dict[str, Any] = {}
        for name, spec, array in _read_leaves(path / FILE):
            specs[name] = spec
            if name in likenesses and spec_of(likenesses[name]) == spec:
                # At once, so that the host holds one array of those that lie elsewhere.
                placed |= place({name: array}, likenesses)
        require_fit(specs, like, path)
        return rebuild(like, placed)

    def wait(self) -> None:
        """Return at once: `save` has written everything."""


def _write_leaf(write: Callable[[bytes], None], name: str, array: NDArray[Any]) -> None:
    spec = spec_of(array)
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    starts = range(0, flat.size, _CHUNK_BYTES)
    write(_pack({"name": name, "shape": spec.shape, "dtype": spec.dtype, "num_chunks": len(starts)}))
    for start in starts:
        write(_pack(flat[start : start + _CHUNK_BYTES].tobytes()))


def _read_leaves(path: Path) -> Iterator[tuple[str, LeafSpec, NDArray[Any]]]:
    """Yield name, spec and a writable array of its own for each leaf of the file."""
    with path.open("rb") as file:
        make = cast("Callable[..., Any]", msgpack.Unpacker)  # pyright: ignore[reportUnknownMemberType] - no stubs
        stream = make(file, max_buffer_size=0, max_bin_len=_CHUNK_BYTES)
        header = _next(stream)
        if header["format"] != _FORMAT:
            raise CheckpointError(
                f"'{path}' has format {header['format']}, this version reads {_FORMAT}: "
                "install the version of burnish it was written with"
            )
        for _ in range(header["num_leaves"]):
            leaf = _next(stream)
            spec = LeafSpec(tuple(leaf["shape"]), leaf["dtype"])
            array = np.empty(spec.shape, spec.numpy_dtype)
            flat, filled = array.reshape(-1).view(np.uint8), 0
            for _ in range(leaf["num_chunks"]):
                chunk = np.frombuffer(_next(stream), np.uint8)
                flat[filled : filled + chunk.size] = chunk
                filled += chunk.size
            yield leaf["name"], spec, array


def _pack(content: Any) -> bytes:
    return cast("bytes", msgpack.packb(content))  # pyright: ignore[reportUnknownMemberType] - no stubs


def _next(stream: Any) -> Any:
    return stream.unpack()

"""What peft calls the updates of a model's stored tensors, and where their numbers lie in its leaves.

peft adapts the tensors as they are stored. Of one that several leaves share rows of, each leaf has factors of
its own: together they are a factor `A` with the rows of all, and a factor `B` of blocks.
"""

from collections.abc import Collection
from dataclasses import dataclass

from burnish.llm.families.protocol import CausalLM, Path
from burnish.llm.tensor_layout import Piece, huggingface_shape, stored_tensors

MODEL = "adapter_model.safetensors"
PREFIX = "base_model.model."
WEIGHT = ".weight"


@dataclass(frozen=True)
class Part:
    """Rows of a stored tensor that a leaf has."""

    path: Path
    """Of the leaf."""
    index: tuple[int, ...]
    """Of the matrix in the leaf."""
    outputs: slice
    """What it takes of the leaf's first output dim."""
    rows: tuple[int, int]

    @property
    def of_b(self) -> tuple[int | slice, ...]:
        """Where its rows are in the factor `b`, after which all dims are whole."""
        return (*self.index, slice(None), self.outputs)


@dataclass(frozen=True)
class Module:
    """A stored tensor that holds matrices, as peft adapts it."""

    shape: tuple[int, int]
    """Outputs and inputs."""
    parts: tuple[Part, ...]
    is_transposed: bool
    """Whether it is stored with its inputs first (`fan_in_fan_out` of peft)."""


def modules_of(model: CausalLM, paths: Collection[Path]) -> dict[str, Module]:
    """Return the modules that hold any of the leaves at `paths`, by what transformers calls them."""
    found: dict[str, Module] = {}
    for name, stored in stored_tensors(model).items():
        if name.endswith(WEIGHT) and any(piece.path in paths for piece in stored.pieces):
            is_transposed = _is_transposed(model, stored.pieces[0])
            shape = stored.shape[::-1] if is_transposed else stored.shape
            parts = tuple(_part(piece, shape[0]) for piece in stored.pieces)
            found[name.removesuffix(WEIGHT)] = Module((shape[0], shape[1]), parts, is_transposed)
    return found


def are_modules(model: CausalLM, paths: Collection[Path]) -> bool:
    """Say whether all that the leaves at `paths` are stored in are weights of modules, which peft adapts."""
    return all(
        name.endswith(WEIGHT)
        for name, stored in stored_tensors(model).items()
        if any(piece.path in paths for piece in stored.pieces)
    )


def _part(piece: Piece, num_rows: int) -> Part:
    index = tuple(entry for entry in piece.index if isinstance(entry, int))
    cut = piece.index[len(index) :]
    outputs = cut[-1] if cut else slice(None)
    assert isinstance(outputs, slice), "what counts matrices comes first in an index"
    if piece.name.rows is None and len(cut):
        num_rows = huggingface_shape(piece.name, piece.shape)[0]
    return Part(piece.path, index, outputs, piece.name.rows or (0, num_rows))


def _is_transposed(model: CausalLM, piece: Piece) -> bool:
    """Say whether a tensor that is stored as the leaf is has its inputs first."""
    dims = model.matrices[piece.path]
    return piece.name.num_input_dims is None and dims.inputs < dims.outputs

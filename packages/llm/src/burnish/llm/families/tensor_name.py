"""Where a parameter lives in a Hugging Face checkpoint: the names that a family gives its leaves."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TensorName:
    """Where a parameter lives in a Hugging Face checkpoint, and in which shape.

    `{layer}` and `{expert}` in the `template` stand for the leaf's first dims, in this order. Hugging Face
    stores a matrix as `[out, in]`: the first `num_input_dims` of our other dims are flattened to `in` and the
    rest to `out`. Without input dims (0) the tensor is a flat vector; with None it is stored as it is.
    """

    template: str
    num_input_dims: int | None = None

    layers: tuple[int, ...] = ()
    """The number of the layer at each index of the first dim; () counts from 0."""

    rows: tuple[int, int] | None = None
    """The first row and the one after the last of a part of the stored tensor; None for all of it.

    The parts of a tensor, of whichever leaves, follow each other from row 0 to its end. Of a leaf made of
    several tensors, rows from 0 also say how many a tensor of one part has; those that do not say share what
    is left in equal parts.
    """

    @property
    def num_stacked(self) -> int:
        """Number of the leaf's first dims that count its tensors."""
        return ("{layer}" in self.template) + ("{expert}" in self.template)

    def tensor(self, index: Sequence[int]) -> str:
        """Return the name of the tensor at an index of the leaf's first dims."""
        keys = [key for key in ("layer", "expert") if f"{{{key}}}" in self.template]
        numbers = dict(zip(keys, index, strict=True))
        if self.layers:
            numbers["layer"] = self.layers[numbers["layer"]]
        return self.template.format(**numbers)

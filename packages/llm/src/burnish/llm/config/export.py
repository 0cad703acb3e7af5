"""How a trained model is handed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from burnish.platform.configuration.option_types import check_options

if TYPE_CHECKING:
    from burnish.llm.export import Export, ExportContext


@dataclass(frozen=True, kw_only=True)
class HuggingFaceExport:
    """Weights, configuration and tokenizer in a directory that transformers and burnish both read."""

    dtype: Literal["compute", "float32", "bfloat16"] = "compute"
    """Type of the written weights; `compute` is `jax.compute_dtype`, what was evaluated."""

    def __post_init__(self) -> None:
        """Refuse a type that there is not."""
        check_options(self)

    def build(self, context: ExportContext) -> Export:
        """Return the writer."""
        from burnish.llm.export import HuggingFaceWriter

        dtype = context.jax.compute_dtype if self.dtype == "compute" else self.dtype
        return HuggingFaceWriter(dtype=dtype)

"""How a trained model is handed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from burnish.llm.export import HuggingFaceWriter
    from burnish.platform.configuration.config import JaxConfig


@dataclass(frozen=True, kw_only=True)
class HuggingFaceExport:
    """Weights, configuration and tokenizer in a directory that transformers and burnish both read."""

    dtype: Literal["compute", "float32", "bfloat16"] = "compute"
    """Type of the written weights; `compute` is `jax.compute_dtype`, what was evaluated."""

    def build(self, jax_config: JaxConfig) -> HuggingFaceWriter:
        """Return the writer."""
        from burnish.llm.export import HuggingFaceWriter

        dtype = jax_config.compute_dtype if self.dtype == "compute" else self.dtype
        return HuggingFaceWriter(dtype=dtype)

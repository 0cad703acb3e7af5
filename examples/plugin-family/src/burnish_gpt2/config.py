"""The family that this wheel declares; importing this module imports no jax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from burnish.llm import FamilyContext
    from burnish_gpt2.model import GPT2LM


@dataclass(frozen=True, kw_only=True)
class GPT2:
    """GPT-2, as transformers writes it."""

    def match(self, hf_config: Mapping[str, Any]) -> bool:
        """Say whether a `config.json` is of this family."""
        return hf_config.get("model_type") == "gpt2"

    def build(self, context: FamilyContext) -> GPT2LM:
        """Return the model of a `config.json`; refuse what it does not compute."""
        from burnish_gpt2.model import GPT2LM
        from burnish_gpt2.sizes import read_sizes

        return GPT2LM(read_sizes(context.hf_config), context.compute)

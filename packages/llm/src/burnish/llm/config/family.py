"""The model families of this package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from burnish.llm.families.protocol import CausalLM, FamilyContext


@dataclass(frozen=True, kw_only=True)
class Qwen2:
    """The dense Qwen2 and Qwen2.5 models."""

    def match(self, hf_config: Mapping[str, Any]) -> bool:
        """Say whether a `config.json` is of this family."""
        return hf_config.get("model_type") == "qwen2"

    def build(self, context: FamilyContext) -> CausalLM:
        """Return the model of a `config.json`, computed in its parameters' dtype; refuse the unsupported."""
        from burnish.llm.families.qwen2 import from_hf_config

        return from_hf_config(context.hf_config, context.compute)

"""The model families of this package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from burnish.llm.families.protocol import CausalLM
    from burnish.platform.configuration.config import JaxConfig


@dataclass(frozen=True, kw_only=True)
class Qwen2:
    """The dense Qwen2 and Qwen2.5 models."""

    def match(self, hf_config: Mapping[str, Any]) -> bool:
        """Say whether a `config.json` is of this family."""
        return hf_config.get("model_type") == "qwen2"

    def build(
        self,
        hf_config: Mapping[str, Any],
        jax_config: JaxConfig | None = None,
        *,
        remat: Literal["none", "dots", "full"] = "none",
        scan_unroll: int = 1,
    ) -> CausalLM:
        """Return the model of a `config.json`, computed in its parameters' dtype; refuse the unsupported."""
        del jax_config
        from burnish.llm.families.qwen2 import from_hf_config

        return from_hf_config(hf_config, remat=remat, scan_unroll=scan_unroll)

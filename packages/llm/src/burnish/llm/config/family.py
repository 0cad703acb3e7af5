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
        from burnish.llm.families.qwen import read_qwen2
        from burnish.llm.families.reading import decoder_of

        return decoder_of(context, "qwen2", read_qwen2)


@dataclass(frozen=True, kw_only=True)
class Qwen3:
    """The dense Qwen3 models."""

    def match(self, hf_config: Mapping[str, Any]) -> bool:
        """Say whether a `config.json` is of this family."""
        return hf_config.get("model_type") == "qwen3"

    def build(self, context: FamilyContext) -> CausalLM:
        """Return the model of a `config.json`, computed in its parameters' dtype; refuse the unsupported."""
        from burnish.llm.families.qwen import read_qwen3
        from burnish.llm.families.reading import decoder_of

        return decoder_of(context, "qwen3", read_qwen3)


@dataclass(frozen=True, kw_only=True)
class Llama:
    """Llama 2, Llama 3 and what is built like them."""

    def match(self, hf_config: Mapping[str, Any]) -> bool:
        """Say whether a `config.json` is of this family."""
        return hf_config.get("model_type") == "llama"

    def build(self, context: FamilyContext) -> CausalLM:
        """Return the model of a `config.json`, computed in its parameters' dtype; refuse the unsupported."""
        from burnish.llm.families.llama import read_llama
        from burnish.llm.families.reading import decoder_of

        return decoder_of(context, "llama", read_llama)


@dataclass(frozen=True, kw_only=True)
class Mistral:
    """The dense Mistral models."""

    def match(self, hf_config: Mapping[str, Any]) -> bool:
        """Say whether a `config.json` is of this family."""
        return hf_config.get("model_type") == "mistral"

    def build(self, context: FamilyContext) -> CausalLM:
        """Return the model of a `config.json`, computed in its parameters' dtype; refuse the unsupported."""
        from burnish.llm.families.llama import read_mistral
        from burnish.llm.families.reading import decoder_of

        return decoder_of(context, "mistral", read_mistral)


@dataclass(frozen=True, kw_only=True)
class Gemma2:
    """The Gemma 2 models."""

    def match(self, hf_config: Mapping[str, Any]) -> bool:
        """Say whether a `config.json` is of this family."""
        return hf_config.get("model_type") == "gemma2"

    def build(self, context: FamilyContext) -> CausalLM:
        """Return the model of a `config.json`, computed in its parameters' dtype; refuse the unsupported."""
        from burnish.llm.families.gemma import read_gemma2
        from burnish.llm.families.reading import decoder_of

        return decoder_of(context, "gemma2", read_gemma2)


@dataclass(frozen=True, kw_only=True)
class Gemma3:
    """The text models of Gemma 3."""

    def match(self, hf_config: Mapping[str, Any]) -> bool:
        """Say whether a `config.json` is of this family."""
        return hf_config.get("model_type") == "gemma3_text"

    def build(self, context: FamilyContext) -> CausalLM:
        """Return the model of a `config.json`, computed in its parameters' dtype; refuse the unsupported."""
        from burnish.llm.families.gemma import read_gemma3
        from burnish.llm.families.reading import decoder_of

        return decoder_of(context, "gemma3", read_gemma3)


@dataclass(frozen=True, kw_only=True)
class Olmo2:
    """The OLMo 2 models."""

    def match(self, hf_config: Mapping[str, Any]) -> bool:
        """Say whether a `config.json` is of this family."""
        return hf_config.get("model_type") == "olmo2"

    def build(self, context: FamilyContext) -> CausalLM:
        """Return the model of a `config.json`, computed in its parameters' dtype; refuse the unsupported."""
        from burnish.llm.families.olmo import read_olmo2
        from burnish.llm.families.reading import decoder_of

        return decoder_of(context, "olmo2", read_olmo2)


@dataclass(frozen=True, kw_only=True)
class Phi3:
    """The Phi-3 models of short context."""

    def match(self, hf_config: Mapping[str, Any]) -> bool:
        """Say whether a `config.json` is of this family."""
        return hf_config.get("model_type") == "phi3"

    def build(self, context: FamilyContext) -> CausalLM:
        """Return the model of a `config.json`, computed in its parameters' dtype; refuse the unsupported."""
        from burnish.llm.families.phi import read_phi3
        from burnish.llm.families.reading import decoder_of

        return decoder_of(context, "phi3", read_phi3)


@dataclass(frozen=True, kw_only=True)
class Mixtral:
    """The Mixtral models, with experts."""

    def match(self, hf_config: Mapping[str, Any]) -> bool:
        """Say whether a `config.json` is of this family."""
        return hf_config.get("model_type") == "mixtral"

    def build(self, context: FamilyContext) -> CausalLM:
        """Return the model of a `config.json`, computed in its parameters' dtype; refuse the unsupported."""
        from burnish.llm.families.reading import decoder_of
        from burnish.llm.families.sparse import read_mixtral

        return decoder_of(context, "mixtral", read_mixtral)


@dataclass(frozen=True, kw_only=True)
class Qwen3MoE:
    """The Qwen3 models with experts."""

    def match(self, hf_config: Mapping[str, Any]) -> bool:
        """Say whether a `config.json` is of this family."""
        return hf_config.get("model_type") == "qwen3_moe"

    def build(self, context: FamilyContext) -> CausalLM:
        """Return the model of a `config.json`, computed in its parameters' dtype; refuse the unsupported."""
        from burnish.llm.families.reading import decoder_of
        from burnish.llm.families.sparse import read_qwen3_moe

        return decoder_of(context, "qwen3_moe", read_qwen3_moe)

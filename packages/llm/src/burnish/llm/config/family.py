"""The model families of this package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from burnish.llm.families.architecture import Architecture
    from burnish.llm.families.hf_config import HFConfig
    from burnish.llm.families.protocol import CausalLM, FamilyContext

    Read = Callable[[HFConfig], Architecture]


@dataclass(frozen=True, kw_only=True)
class Decoders(ABC):
    """A family of decoders, known by its `model_type`; a reader of its configs is imported to build one."""

    model_type: ClassVar[str]

    def match(self, hf_config: Mapping[str, Any]) -> bool:
        """Say whether a `config.json` is of this family."""
        return hf_config.get("model_type") == self.model_type

    def build(self, context: FamilyContext) -> CausalLM:
        """Return the model of a `config.json`, computed in its parameters' dtype; refuse the unsupported."""
        from burnish.llm.families.reading import decoder_of

        return decoder_of(context, self.model_type, self.reader())

    @abstractmethod
    def reader(self) -> Read:
        """Return the function from a `config.json` to an architecture."""


@dataclass(frozen=True, kw_only=True)
class Qwen2(Decoders):
    """The dense Qwen2 and Qwen2.5 models."""

    model_type = "qwen2"

    def reader(self) -> Read:
        """Return the function from a `config.json` to an architecture."""
        from burnish.llm.families.qwen import read_qwen2

        return read_qwen2


@dataclass(frozen=True, kw_only=True)
class Qwen3(Decoders):
    """The dense Qwen3 models."""

    model_type = "qwen3"

    def reader(self) -> Read:
        """Return the function from a `config.json` to an architecture."""
        from burnish.llm.families.qwen import read_qwen3

        return read_qwen3


@dataclass(frozen=True, kw_only=True)
class Llama(Decoders):
    """Llama 2, Llama 3 and what is built like them."""

    model_type = "llama"

    def reader(self) -> Read:
        """Return the function from a `config.json` to an architecture."""
        from burnish.llm.families.llama import read_llama

        return read_llama


@dataclass(frozen=True, kw_only=True)
class Mistral(Decoders):
    """The dense Mistral models."""

    model_type = "mistral"

    def reader(self) -> Read:
        """Return the function from a `config.json` to an architecture."""
        from burnish.llm.families.llama import read_mistral

        return read_mistral


@dataclass(frozen=True, kw_only=True)
class Gemma2(Decoders):
    """The Gemma 2 models."""

    model_type = "gemma2"

    def reader(self) -> Read:
        """Return the function from a `config.json` to an architecture."""
        from burnish.llm.families.gemma import read_gemma2

        return read_gemma2


@dataclass(frozen=True, kw_only=True)
class Gemma3(Decoders):
    """The text models of Gemma 3."""

    model_type = "gemma3_text"

    def reader(self) -> Read:
        """Return the function from a `config.json` to an architecture."""
        from burnish.llm.families.gemma import read_gemma3

        return read_gemma3


@dataclass(frozen=True, kw_only=True)
class Olmo2(Decoders):
    """The OLMo 2 models."""

    model_type = "olmo2"

    def reader(self) -> Read:
        """Return the function from a `config.json` to an architecture."""
        from burnish.llm.families.olmo import read_olmo2

        return read_olmo2


@dataclass(frozen=True, kw_only=True)
class Phi3(Decoders):
    """The Phi-3 models of short context."""

    model_type = "phi3"

    def reader(self) -> Read:
        """Return the function from a `config.json` to an architecture."""
        from burnish.llm.families.phi import read_phi3

        return read_phi3


@dataclass(frozen=True, kw_only=True)
class Mixtral(Decoders):
    """The Mixtral models, with experts."""

    model_type = "mixtral"

    def reader(self) -> Read:
        """Return the function from a `config.json` to an architecture."""
        from burnish.llm.families.sparse import read_mixtral

        return read_mixtral


@dataclass(frozen=True, kw_only=True)
class Qwen3MoE(Decoders):
    """The Qwen3 models with experts."""

    model_type = "qwen3_moe"

    def reader(self) -> Read:
        """Return the function from a `config.json` to an architecture."""
        from burnish.llm.families.sparse import read_qwen3_moe

        return read_qwen3_moe

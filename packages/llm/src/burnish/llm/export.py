"""The slot `export`: the directory a model leaves a stage in, with tokenizer and manifest.

transformers and burnish read it alike; a stage receives its model from one.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import jax

from burnish.llm.families.protocol import CausalLM
from burnish.llm.tokenizer import Tokenizer
from burnish.llm.tokenizer_files import save_tokenizer
from burnish.llm.weights import save_huggingface
from burnish.platform import atomic
from burnish.platform.checkpoint.manifest import write_manifest
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig


class Export(Protocol):
    """Writes a model into a directory."""

    def __call__(
        self, directory: Path, model: CausalLM, params: dict[str, Any], tokenizer: Tokenizer, /
    ) -> Path:
        """Write a complete export and return its directory, which a stage hands on."""
        ...


@dataclass(frozen=True, kw_only=True)
class ExportContext:
    """What an `export` component may use."""

    jax: JaxConfig
    """Devices and number formats of the run."""

    artifacts: Artifacts = field(default_factory=Artifacts)
    """What stages before have made."""


class ExportComponent(Protocol):
    """Options of an export."""

    def build(self, context: ExportContext, /) -> Export:
        """Return what writes."""
        ...


@dataclass(frozen=True, kw_only=True)
class HuggingFaceWriter:
    """Writes exports with weights of one type."""

    dtype: str
    """Type of the written weights: `float32` or `bfloat16`."""

    def __call__(
        self, directory: Path, model: CausalLM, params: dict[str, Any], tokenizer: Tokenizer
    ) -> Path:
        """Write a complete export and return its directory.

        What carries the name is whole at any moment; an earlier export there is replaced.
        """
        with atomic.publishing_directory(directory) as aside:
            save_huggingface(aside, model, params, self.dtype)
            save_tokenizer(tokenizer, aside)
            write_manifest(aside, export_facts(tokenizer))
        return directory


def write_weights(directory: Path, params: Any, model: CausalLM, tokenizer: Tokenizer, dtype: str) -> Path:
    """Write the parameters on a device as an export, for an engine of another process to read."""
    return HuggingFaceWriter(dtype=dtype)(directory, model, jax.device_get(params), tokenizer)


def export_facts(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return what a receiver compares: the chat template's hash, the end tokens, the tokenizer."""
    template = tokenizer.chat_template
    return {
        "chat_template": None if template is None else hashlib.sha256(template.encode()).hexdigest(),
        "eos_token_ids": list(tokenizer.eos_token_ids),
        "tokenizer": tokenizer.fingerprint,
    }

"""The slot `tokenizer`: what one is built from and promises, and the choice of one for a model directory."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.conformance import built


@runtime_checkable
class Tokenizer(Protocol):
    """Text to token ids and back, with what else a run needs to know about the vocabulary."""

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        ...

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """Every id that ends a completion; the first is the one written after a demonstration."""
        ...

    @property
    def pad_token_id(self) -> int:
        """The id that fills up rows; it is never attended to."""
        ...

    @property
    def chat_template(self) -> str | None:
        """The Jinja template of conversations, None when the tokenizer has none."""
        ...

    @property
    def fingerprint(self) -> str:
        """Sha256 over the files: equal when two tokenizers are the same."""
        ...

    def encode(self, text: str, *, with_special: bool = False) -> list[int]:
        """Return the ids of a text; special tokens spelled out in it stay text unless `with_special`."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of ids without the special ones; broken UTF-8 becomes U+FFFD."""
        ...

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **template_options: Any,
    ) -> list[int]:
        """Return the ids of a conversation, as a rule up to where the assistant's next answer starts.

        `tools` are JSON schemas that the template shows the model; `template_options` are its own, such as
        `enable_thinking`.
        """
        ...

    def files(self) -> dict[str, bytes]:
        """Return the files that `tokenizer=auto` and transformers load this tokenizer from."""
        ...


@dataclass(frozen=True, kw_only=True)
class TokenizerContext:
    """What a `tokenizer` component may use."""

    directory: Path | None = None
    """The model's directory; None where the model has none, as the tiny one."""

    trust_remote_code: bool = False
    """Whether code that the directory brings along may run."""

    artifacts: Artifacts = field(default_factory=Artifacts)
    """What stages before have made."""


class TokenizerComponent(Protocol):
    """Options of a tokenizer."""

    def build(self, context: TokenizerContext, /) -> Tokenizer:
        """Return the tokenizer."""
        ...


def build_tokenizer(component: TokenizerComponent, context: TokenizerContext) -> Tokenizer:
    """Return what a component builds; ComponentError where it is no tokenizer."""
    return built("tokenizer", component, Tokenizer, context)


def fingerprint_of(files: Mapping[str, bytes]) -> str:
    """Return the sha256 over names and contents of files, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return digest.hexdigest()

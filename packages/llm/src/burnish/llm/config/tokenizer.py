"""Which tokenizer goes with the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from burnish.llm.tokenizer import Tokenizer, TokenizerContext


@dataclass(frozen=True, kw_only=True)
class AutoTokenizer:
    """The tokenizer that belongs to the model: the files beside its weights, or bytes for the tiny one."""

    def build(self, context: TokenizerContext) -> Tokenizer:
        """Return the tokenizer saved in the model's directory, or the byte tokenizer when there is none."""
        from burnish.llm.tokenizer_files import load_tokenizer

        return load_tokenizer(context.directory, trust_remote_code=context.trust_remote_code)


@dataclass(frozen=True, kw_only=True)
class ByteTokenizer:
    """One token per byte of UTF-8 and four special ones: 260 ids, no download."""

    def build(self, _: TokenizerContext) -> Tokenizer:
        """Return the byte tokenizer, whatever the model's directory holds."""
        from burnish.llm.byte_tokenizer import ByteTokenizer as Bytes

        return Bytes()

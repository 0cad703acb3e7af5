"""Which tokenizer goes with the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from burnish.llm.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class AutoTokenizer:
    """The tokenizer that belongs to the model: the files beside its weights, or bytes for the tiny one."""

    def build(self, directory: Path | None = None, trust_remote_code: bool = False) -> Tokenizer:
        """Return the tokenizer saved in `directory`, or the byte tokenizer when there is none."""
        from burnish.llm.tokenizer import load_tokenizer

        return load_tokenizer(directory, trust_remote_code=trust_remote_code)


@dataclass(frozen=True, kw_only=True)
class ByteTokenizer:
    """One token per byte of UTF-8 and four special ones: 260 ids, no download."""

    def build(self, directory: Path | None = None, trust_remote_code: bool = False) -> Tokenizer:
        """Return the byte tokenizer, whatever the model's directory holds."""
        del directory, trust_remote_code
        from burnish.llm.byte_tokenizer import ByteTokenizer as Bytes

        return Bytes()

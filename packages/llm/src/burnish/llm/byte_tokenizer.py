"""A tokenizer of bytes: ids 0 to 255 are the bytes of UTF-8, four special tokens follow.

It needs no download and no library. Its files are a byte-level BPE without merges, which transformers and
`tokenizers` read with the same result.
"""

import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.llm.tokenizer import fingerprint_of
from burnish.platform.errors import DataError

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>")
"""Ids 256 to 259: end of text, start and end of a message, padding."""

_SPECIAL_PATTERN = re.compile("(" + "|".join(map(re.escape, SPECIAL_TOKENS)) + ")")


class ByteTokenizer:
    """Bytes as tokens, see `burnish.llm.tokenizer.Tokenizer`."""

    vocab_size = 256 + len(SPECIAL_TOKENS)
    eos_token_ids = (256,)
    pad_token_id = 259
    chat_template: str | None = None

    @property
    def fingerprint(self) -> str:
        """Sha256 over the files."""
        return fingerprint_of(self.files())

    def encode(self, text: str, *, with_special: bool = False) -> list[int]:
        """Return the bytes of a text; special tokens spelled out in it stay text unless `with_special`."""
        if not with_special:
            return list(text.encode())
        ids: list[int] = []
        for part in _SPECIAL_PATTERN.split(text):
            ids += [256 + SPECIAL_TOKENS.index(part)] if part in SPECIAL_TOKENS else part.encode()
        return ids

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of the bytes; special tokens are left out, broken UTF-8 becomes U+FFFD."""
        return bytes(token for token in token_ids if token < 256).decode(errors="replace")

    def render_chat(self, messages: Sequence[Mapping[str, Any]], **_: Any) -> list[int]:
        """Refuse: bytes have no chat template."""
        raise DataError(
            f"tokenizer=bytes has no chat template for a conversation of {len(messages)} messages; "
            "give records `prompt` and `completion` as texts, or take a model whose tokenizer has a "
            "template: model=pretrained model.name_or_path=DIRECTORY tokenizer=auto"
        )

    def files(self) -> dict[str, bytes]:
        """Return `tokenizer.json`, `tokenizer_config.json` and `generation_config.json`."""
        return dict(_files())


@functools.cache
def _files() -> dict[str, bytes]:
    end, _, _, pad = SPECIAL_TOKENS
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": end,
        "pad_token": pad,
        "model_max_length": 1_000_000_000,
        "clean_up_tokenization_spaces": False,
    }
    generation = {"eos_token_id": [256], "pad_token_id": 259}
    contents = {
        "tokenizer.json": _definition(),
        "tokenizer_config.json": config,
        "generation_config.json": generation,
    }
    return {name: (json.dumps(content, indent=1) + "\n").encode() for name, content in contents.items()}


def _definition() -> dict[str, Any]:
    """Return the content of `tokenizer.json`: a BPE over 256 symbols that merges nothing."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    specials = [{"id": 256 + i, "content": token, **flags} for i, token in enumerate(SPECIAL_TOKENS)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": specials,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {symbol: byte for byte, symbol in enumerate(_byte_symbols())},
            "merges": [],
        },
    }


def _byte_symbols() -> list[str]:
    """Return the printable character that stands for each byte in byte-level vocabularies (GPT-2's table)."""
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(256, 512))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]

"""A tokenizer from Hugging Face files; transformers is imported when one is made."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish.llm.json_object import read_object
from burnish.llm.tokenizer import fingerprint_of
from burnish.platform.checkpoint.manifest import MANIFEST
from burnish.platform.errors import ConfigError, DataError

FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "generation_config.json",
)
"""The files that make up a tokenizer; `generation_config.json` holds the ids that end a completion."""


class HuggingFaceTokenizer:
    """What `AutoTokenizer` loads from a directory, see `burnish.llm.tokenizer.Tokenizer`."""

    def __init__(self, directory: Path, *, trust_remote_code: bool = False) -> None:
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        from transformers import AutoTokenizer

        self._directory = directory
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(
                str(directory), trust_remote_code=trust_remote_code, local_files_only=True
            )
        except Exception as error:  # what a broken file raises is transformers' choice: any type occurs
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise ConfigError(f"tokenizer: the files in {directory} do not load: {reason}") from error
        self.eos_token_ids = self._end_tokens()
        pad = self._tokenizer.pad_token_id
        self.pad_token_id: int = self.eos_token_ids[0] if pad is None else pad
        self._files = self._read_files()

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return max(self._tokenizer.get_vocab().values()) + 1

    @property
    def chat_template(self) -> str | None:
        """The Jinja template of conversations, None when the tokenizer has none."""
        return self._tokenizer.chat_template

    @property
    def fingerprint(self) -> str:
        """Sha256 over the files."""
        return fingerprint_of(self._files)

    def encode(self, text: str, *, with_special: bool = False) -> list[int]:
        """Return the ids of a text; special tokens spelled out in it stay text unless `with_special`."""
        return self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not with_special)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of ids without the special ones."""
        return self._tokenizer.decode([int(token) for token in token_ids], skip_special_tokens=True)

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **template_options: Any,
    ) -> list[int]:
        """Return the ids of a conversation, as a rule up to where the assistant's next answer starts."""
        if self.chat_template is None:
            is_recorded = (self._directory / MANIFEST).is_file()  # a file beside it would be refused
            remedy = "take a model that has one" if is_recorded else "add chat_template.jinja beside it"
            raise DataError(
                f"the tokenizer in {self._directory} has no chat template; "
                f"give records `prompt` and `completion` as texts, or {remedy}"
            )
        try:
            text = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tools=None if tools is None else [dict(tool) for tool in tools],
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                **template_options,
            )
        except Exception as error:  # a template is a program of the model's author: any type occurs
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise DataError(
                f"the chat template in {self._directory} does not take the messages {list(messages)!r:.200}: "
                f"{reason}; mend the record, or the template"
            ) from error
        return self.encode(text, with_special=True)

    def files(self) -> dict[str, bytes]:
        """Return the files as they were read, with a `generation_config.json` that names the end tokens."""
        return dict(self._files)

    def _end_tokens(self) -> tuple[int, ...]:
        """Collect the ids that end a completion: the tokenizer's own first, then the generation config's."""
        found = [self._tokenizer.eos_token_id]
        for name in ("generation_config.json", "config.json"):
            path = self._directory / name
            if path.is_file():
                declared = read_object(path).get("eos_token_id")
                found += _token_ids(path, declared if isinstance(declared, list) else [declared])
        ids = tuple(dict.fromkeys(token for token in found if token is not None))
        if not ids:
            raise ConfigError(
                f"tokenizer: {self._directory} names no end-of-text token; "
                "set eos_token in tokenizer_config.json or eos_token_id in generation_config.json"
            )
        return ids

    def _read_files(self) -> dict[str, bytes]:
        paths = {name: self._directory / name for name in FILES}
        files = {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
        path = paths["generation_config.json"]
        generation = read_object(path) if path.name in files else {}
        if generation.get("eos_token_id") is None:
            generation |= {"eos_token_id": list(self.eos_token_ids), "pad_token_id": self.pad_token_id}
            files["generation_config.json"] = (json.dumps(generation, indent=1) + "\n").encode()
        return files


def _token_ids(path: Path, declared: list[Any]) -> list[int]:
    """Return the ids that a file declares; null is none."""
    ids = [token for token in declared if token is not None]
    if wrong := [token for token in ids if type(token) is not int or token < 0]:
        raise ConfigError(f"{path}: eos_token_id={wrong[0]!r} is no token id; legal: 0 or more, or a list")
    return ids

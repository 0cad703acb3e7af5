"""A tokenizer in and out of a directory, and which one its files are."""

from pathlib import Path

from burnish.llm.byte_tokenizer import ByteTokenizer
from burnish.llm.tokenizer import Tokenizer
from burnish.platform import atomic
from burnish.platform.errors import ConfigError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "tokenizer.model")
"""A directory with one of these holds a tokenizer."""


def load_tokenizer(directory: Path | None, *, trust_remote_code: bool = False) -> Tokenizer:
    """Return the tokenizer saved in a directory, the byte tokenizer when there is no directory.

    The byte tokenizer is recognized by its files, so that it loads without transformers.
    """
    if directory is None or _holds(directory, ByteTokenizer()):
        return ByteTokenizer()
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        raise ConfigError(
            f"tokenizer=auto: {directory} holds no tokenizer ({', '.join(TOKENIZER_FILES)}); "
            "put the model's tokenizer files there or set tokenizer=bytes"
        )
    from burnish.llm.huggingface_tokenizer import HuggingFaceTokenizer

    return HuggingFaceTokenizer(directory, trust_remote_code=trust_remote_code)


def save_tokenizer(tokenizer: Tokenizer, directory: Path) -> None:
    """Write the tokenizer's files into an existing directory."""
    for name, content in tokenizer.files().items():
        atomic.write_file(directory / name, content)


def _holds(directory: Path, tokenizer: Tokenizer) -> bool:
    """Whether the directory's tokenizer is this one, byte for byte and with nothing added."""
    if (directory / "chat_template.jinja").exists():
        return False
    paths = {directory / name: content for name, content in tokenizer.files().items()}
    return all(path.is_file() and path.read_bytes() == content for path, content in paths.items())

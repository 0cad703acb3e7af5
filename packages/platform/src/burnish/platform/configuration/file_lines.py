"""Where in the user's file something stands, for the messages about it."""

import re
from pathlib import Path
from typing import Any, cast

import yaml

from burnish.platform.configuration.user_file import UserFile

_ABOUT = re.compile(r"\w+(\.\w+)*(?=: |=)")
"""The option that a message is about, which it begins with."""


def in_file(message: str, given: UserFile | None) -> str:
    """Return a message with file and line in front, where the file says what it is about.

    A word that is typed after the file has the last say, so it is what such a message is about.
    """
    about = _ABOUT.match(message)
    if given is None or about is None or any(_sets(word, about[0]) for word in given.words):
        return message
    line = _line(given.path, about[0])
    return message if line is None else f"{given.path}:{line}: {message}"


def _sets(word: str, path: str) -> bool:
    """Say whether a word is about the option at a path, or about what is above or below it."""
    key = word.lstrip("+~").partition("=")[0].rpartition("@")[2]
    return f"{path}.".startswith(f"{key}.") or key.startswith(f"{path}.")


def _line(file: Path, path: str) -> int | None:
    """Return the line (from 1) of the key at a path; None where the file has none."""
    node: Any = cast("Any", yaml).compose(file.read_text(encoding="utf-8"), yaml.SafeLoader)
    line: int | None = None
    for part in path.split("."):
        pairs: list[tuple[Any, Any]] = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((key, value) for key, value in pairs if key.value == part), None)
        if found is None:
            return None
        line, node = found[0].start_mark.line + 1, found[1]
    return line

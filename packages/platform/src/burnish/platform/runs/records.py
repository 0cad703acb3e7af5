"""Reading a record that a run has written: what the disk has damaged is named, with what helps."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from burnish.platform.errors import RunError


def read_record(path: Path, fields: Mapping[str, type | tuple[type, ...]], remedy: str) -> dict[str, Any]:
    """Return the JSON object in a file, which has these fields of these types.

    Raises `RunError` with the file, what is wrong with it, and the remedy.
    """
    try:
        content = cast("object", json.loads(path.read_bytes()))
    except OSError as error:
        raise damaged(path, f"cannot be read: {error.strerror}", remedy) from error
    except (ValueError, RecursionError) as error:
        raise damaged(path, "is damaged: it is not the JSON that was written", remedy) from error
    if not isinstance(content, dict):
        raise damaged(path, "is damaged: it holds no fields", remedy)
    record = cast("dict[str, Any]", content)
    for name, kind in fields.items():
        if not isinstance(record.get(name), kind):
            raise damaged(path, f"is damaged: it has no '{name}'", remedy)
    return record


def damaged(path: Path, what: str, remedy: str) -> RunError:
    """Return the error of a record that cannot be used."""
    return RunError(f"'{path}' {what}; {remedy}")

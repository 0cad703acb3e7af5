"""JSON files of a model's directory: whoever wrote them, what is broken in them is said in one line."""

import json
from pathlib import Path
from typing import Any

from burnish.platform.errors import CheckpointError


def read_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; CheckpointError names the file where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} does not read as JSON ({error}): restore the file") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object: restore the file")
    return content

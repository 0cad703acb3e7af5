"""Did you mean: the nearest legal name to one that is not."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any


def suggestion(asked: str, legal: Sequence[str] | Mapping[str, Any]) -> str:
    """Return " (did you mean 'x'?)" for the nearest legal name, or nothing when none is near."""
    near = difflib.get_close_matches(asked, list(legal), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""

"""Digests by which a resumed run knows that its data is the data it began with."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from burnish.platform.errors import DataError


def options_fingerprint(kind: str, options: Mapping[str, Any]) -> str:
    """Return the sha256 of a source's kind and its options, for sources that are pure functions of them."""
    text = json.dumps([kind, dict(options)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def require_same(found: str, recorded: str, source: str) -> None:
    """Raise `DataError` when the data differs from what a checkpoint was written with."""
    if found != recorded:
        raise DataError(
            f"{source} has changed since the checkpoint was written (fingerprint {found[:12]}, recorded "
            f"{recorded[:12]}): restore the data, or start a new run with another run.name"
        )

"""A manifest of a directory: size and sha256 of every file and of itself, checked before reading."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from burnish.platform import atomic
from burnish.platform.errors import CheckpointError

MANIFEST = "manifest.json"

_VERSION = 1


@dataclass(frozen=True)
class Verified:
    """A directory that `verify` has checked: whoever is given one need not check, nor hash, again."""

    directory: Path
    facts: Mapping[str, Any]
    """What the manifest records beside the files."""


def write_manifest(directory: Path, facts: Mapping[str, Any]) -> None:
    """Write `manifest.json` over every file below `directory`, with `facts` to be read by the receiver."""
    files = {
        path.relative_to(directory).as_posix(): {"size": path.stat().st_size, "sha256": _file_sha256(path)}
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path != directory / MANIFEST
    }
    content = {"version": _VERSION, "facts": dict(facts), "files": files}
    text = json.dumps({**content, "sha256": _digest(content)}, indent=1)
    atomic.write_file(directory / MANIFEST, (text + "\n").encode())


def verify(directory: Path) -> Verified:
    """Check `directory` against its manifest and return it with the manifest's facts.

    Raises `CheckpointError` naming the first file that is missing, truncated or altered.
    """
    content = _read(directory)
    for name, recorded in cast("Mapping[str, Mapping[str, Any]]", content["files"]).items():
        _check_file(directory, name, recorded)
    return Verified(directory, cast("Mapping[str, Any]", content["facts"]))


def _read(directory: Path) -> Mapping[str, Any]:
    path = directory / MANIFEST
    if not directory.is_dir():
        raise CheckpointError(f"'{directory}' is no directory")
    if not path.is_file():
        raise CheckpointError(f"'{directory}' is torn: it has no {MANIFEST}, so it was never complete")
    try:
        content = cast("dict[str, Any]", json.loads(path.read_bytes()))
        recorded = content.pop("sha256")
        intact = recorded == _digest(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"'{path}' is altered: it is not the JSON that was written") from error
    if not intact:
        raise CheckpointError(f"'{path}' is altered: its sha256 differs from the recorded one")
    if content["version"] != _VERSION:
        raise CheckpointError(
            f"'{path}' has version {content['version']}, this version of burnish reads {_VERSION}: "
            "install the one it was written with"
        )
    return content


def _check_file(directory: Path, name: str, recorded: Mapping[str, Any]) -> None:
    path = directory / name
    if not path.is_file():
        raise CheckpointError(f"'{directory}': the file '{name}' is missing")
    size = path.stat().st_size
    if size != recorded["size"]:
        word = "truncated" if size < recorded["size"] else "altered"
        raise CheckpointError(
            f"'{directory}': the file '{name}' is {word}: {size} bytes, recorded {recorded['size']}"
        )
    if _file_sha256(path) != recorded["sha256"]:
        raise CheckpointError(
            f"'{directory}': the file '{name}' is altered: its sha256 differs from the recorded one"
        )


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""How a package that is not installed comes here: by its name, or from the clone that this one came from."""

import json
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlparse
from urllib.request import url2pathname

HERE = "burnish-platform"


def install_command(wanted: str) -> str:
    """Return the command that installs the distribution `wanted`."""
    return command_beside(_directory_of(HERE), wanted)


def command_beside(directory: Path | None, wanted: str) -> str:
    """Return the command that installs `wanted`, from beside a package's `directory` where it lies there."""
    if directory is not None:
        sibling = directory.parent / wanted.removeprefix("burnish-")
        if (sibling / "pyproject.toml").is_file():
            return f"pip install {shlex.quote(str(sibling))}"
    return f"pip install {wanted}"


def _directory_of(installed: str) -> Path | None:
    """Return the directory that a distribution was installed from, as PEP 610 records it; None of a wheel."""
    try:
        record = distribution(installed).read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    origin: dict[str, Any] = cast("dict[str, Any]", json.loads(record)) if record else {}
    return Path(url2pathname(urlparse(str(origin["url"])).path)) if "dir_info" in origin else None

"""What produced a run: the command, the code's revision, the versions, the machine. Written as `run.json`."""

# jax's own annotations are partial, which strict mode reports at every use.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import os
import platform as machine
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from burnish.platform.configuration.config import Config
from burnish.platform.device.mesh import AXES, arranged


def provenance(config: Config, overrides: Sequence[str]) -> dict[str, Any]:
    """Return everything outside the config that a run's numbers may depend on."""
    import jax

    device = jax.local_devices()[0]
    return {
        "command": sys.argv,
        "overrides": list(overrides),
        "config_path": config.run.config_path,
        "git": _git_state(),
        "components": [asdict(provider) for provider in config.components],
        "python": machine.python_version(),
        "versions": versions(),
        "device": {
            "platform": device.platform,
            "kind": device.device_kind,
            "count": jax.local_device_count(),
        },
        "cpu_threads": cpu_threads(),
        "host": machine.node(),
    }


def start_facts(config: Config) -> dict[str, Any]:
    """Return what tells one start of a run from the others."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "versions": versions(),
        "mesh": mesh_sizes(config),
        "cpu_threads": cpu_threads(),
    }


def mesh_sizes(config: Config) -> dict[str, int]:
    """Return the devices of each axis of the mesh; what is `auto` is counted."""
    return dict(zip(AXES, arranged(config.jax).mesh.sizes, strict=True))


def versions() -> dict[str, str]:
    """Return the versions of what computes numbers."""
    return {name: version(name) for name in ("jax", "jaxlib", "numpy", "burnish-platform")}


def cpu_threads() -> int:
    """Return how many threads XLA's CPU backend uses: bits differ between counts, so a resume compares it."""
    available = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return int(os.environ.get("NPROC", available))


def _git_state() -> dict[str, Any] | None:
    """Return the working directory's revision and whether it has changes, None outside a repository."""
    try:
        revision = _git("rev-parse", "HEAD")
        return {"revision": revision, "is_dirty": bool(_git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    finished = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10)
    return finished.stdout.strip()

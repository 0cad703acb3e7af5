"""The environments peers run in: made on first use below the user's cache, never part of burnish's own."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A system to compare with: its module below `systems`, and what pip installs for it."""

    module: str
    requirements: tuple[str, ...]


PEERS = {
    "hf": Peer(module="systems.huggingface_system", requirements=("torch==2.13.0", "transformers==5.23.0")),
}
"""Name on the command line to peer."""


def cache_directory() -> Path:
    """Return where environments are kept: `burnish/benchmarks` in `XDG_CACHE_HOME` or `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "burnish" / "benchmarks"


def peer_python(name: str) -> Path:
    """Return the interpreter of a peer's environment, after making it where it is missing or out of date.

    Raises `subprocess.CalledProcessError` when uv or pip fails.
    """
    peer, directory = PEERS[name], cache_directory() / name
    python, stamp = directory / "bin" / "python", directory / "installed.txt"
    wanted = "\n".join((sys.version, *peer.requirements))
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"making the environment of {name} in {directory}", file=sys.stderr, flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    # Plain pip: uv does not read pip's settings, which say where this machine gets its torch from.
    subprocess.run(["uv", "venv", "--quiet", "--seed", "--python", sys.executable, directory], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *peer.requirements], check=True)
    stamp.write_text(wanted, encoding="utf-8")
    return python

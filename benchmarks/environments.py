"""The environments peers run in: made on first use below the user's cache, never part of burnish's own."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from workloads import Generation, Training


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A system to compare with: its module below `systems`, and what pip installs for it."""

    module: str
    requirements: tuple[str, ...]
    without_dependencies: tuple[str, ...] = ()
    """What is installed alone, since what it asks for is not needed or does not fit."""

    kinds: tuple[type, ...] = (Training, Generation)
    """The workloads that its module has."""


_OF_TUNIX = """datasets google-metrax grain humanize jax==0.10.2 jaxtyping kagglehub numba omegaconf
    orbax-checkpoint==0.12.8 perfetto pillow pylatexenc python-dotenv qwix sentencepiece sympy tenacity
    flax==0.12.8 optax==0.2.8 transformers==5.23.0"""
"""What Tunix imports, but for tensorflow-datasets; jax, flax and optax are those of burnish."""

PEERS = {
    "hf": Peer(module="systems.huggingface_system", requirements=("torch==2.13.0", "transformers==5.23.0")),
    "tunix": Peer(
        module="systems.tunix_system",
        requirements=tuple(_OF_TUNIX.split()),
        without_dependencies=("google-tunix==0.1.7",),
        kinds=(Training,),
    ),
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
    wanted = "\n".join((sys.version, *peer.requirements, *peer.without_dependencies))
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"making the environment of {name} in {directory}", file=sys.stderr, flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    # Plain pip: uv does not read pip's settings, which say where this machine gets its torch from.
    subprocess.run(["uv", "venv", "--quiet", "--seed", "--python", sys.executable, directory], check=True)
    install = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, *peer.requirements], check=True)
    if peer.without_dependencies:
        subprocess.run([*install, "--no-deps", *peer.without_dependencies], check=True)
    stamp.write_text(wanted, encoding="utf-8")
    return python

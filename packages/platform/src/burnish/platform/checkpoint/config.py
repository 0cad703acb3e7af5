"""The checkpoint backends of this package as plain data, importable without jax."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Msgpack:
    """Checkpoints as msgpack: one file per tree, written by this process."""

    def build(self) -> Any:
        """Return the backend."""
        from burnish.platform.checkpoint.msgpack import MsgpackBackend

        return MsgpackBackend()


@dataclass(frozen=True, kw_only=True)
class Orbax:
    """Checkpoints in orbax's format: one directory per tree, for large and sharded arrays."""

    def build(self) -> Any:
        """Return the backend."""
        from burnish.platform.checkpoint.orbax import OrbaxBackend

        return OrbaxBackend()

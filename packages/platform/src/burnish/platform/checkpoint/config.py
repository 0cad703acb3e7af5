"""The checkpoint backends of this package as plain data, importable without jax."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from burnish.platform.checkpoint.backend import CheckpointBackend, CheckpointContext


@dataclass(frozen=True, kw_only=True)
class Msgpack:
    """Checkpoints as msgpack: one file per tree, written by this process."""

    def build(self, _: "CheckpointContext") -> "CheckpointBackend":
        """Return the backend."""
        from burnish.platform.checkpoint.msgpack import MsgpackBackend

        return MsgpackBackend()


@dataclass(frozen=True, kw_only=True)
class Orbax:
    """Checkpoints in orbax's format: one directory per tree, for large and sharded arrays."""

    def build(self, _: "CheckpointContext") -> "CheckpointBackend":
        """Return the backend."""
        from burnish.platform.checkpoint.orbax import OrbaxBackend

        return OrbaxBackend()

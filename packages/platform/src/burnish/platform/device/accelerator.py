"""What has to be set before jax computes: flags of the compiler and its cache of compiled programs."""

# jax's own annotations are partial, which strict mode reports at every use.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import os
import sys
from pathlib import Path

from burnish.platform.device.program_cache import replace_damaged_entries
from burnish.platform.errors import ConfigError

_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


def prepare_jax(*, deterministic: bool = False, compilation_cache: str | None = None) -> None:
    """Ask this process's jax for sums that repeat and for a directory of compiled programs; imports it last.

    Compiler flags are read from the environment when the first device is used; asking for determinism later
    raises `ConfigError`, since it would silently not hold.
    """
    if deterministic:
        _request_determinism()
    import jax

    if compilation_cache is not None:
        directory = Path(compilation_cache).expanduser()
        jax.config.update("jax_compilation_cache_dir", str(directory))
        # Every program counts: a run of a minute compiles hundreds that take less than the default second.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    replace_damaged_entries()


def _request_determinism() -> None:
    flags = os.environ.get("XLA_FLAGS", "")
    if _DETERMINISTIC in flags:
        return
    if _has_devices():
        raise ConfigError(
            "jax.deterministic=true comes too late: jax has used a device in this process; set it before, or "
            f"set XLA_FLAGS={_DETERMINISTIC} in the environment"
        )
    os.environ["XLA_FLAGS"] = f"{flags} {_DETERMINISTIC}".strip()


def _has_devices() -> bool:
    if "jax" not in sys.modules:
        return False
    from jax._src import xla_bridge

    return xla_bridge.backends_are_initialized()

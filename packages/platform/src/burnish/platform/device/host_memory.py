"""Freed host memory, which glibc is asked to keep for the next step rather than return to the system.

A compiled program on a CPU allocates all of its temporaries at each call. By default every large block is a
mapping of its own: the system takes it back when it is freed, and clears each page when it comes again.
"""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_SETTINGS = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: -1, _M_ARENA_MAX: 1}
"""No block is a mapping of its own, the heap never shrinks, and all threads share it. See mallopt(3)."""


def keep_freed_memory() -> None:
    """Keep what this process frees from here on, for good, where jax computes on a CPU and with glibc.

    The resident size stays at its peak. Beside an accelerator that would be what loading needs, for nothing.
    """
    import jax

    if jax.default_backend() != "cpu" or platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for parameter, value in _SETTINGS.items():
        libc.mallopt(parameter, value)

"""How much memory the devices of this process have used at their peak."""

# jax's own annotations are partial, which strict mode reports at every use.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import resource
import sys


def peak_memory_bytes() -> int:
    """Return the largest peak over the local accelerators in bytes; on a CPU, that of the process."""
    import jax

    statistics = [device.memory_stats() for device in jax.local_devices()]
    peaks = [entry["peak_bytes_in_use"] for entry in statistics if entry and "peak_bytes_in_use" in entry]
    if peaks:
        return max(peaks)
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes if sys.platform == "darwin" else kibibytes * 1024

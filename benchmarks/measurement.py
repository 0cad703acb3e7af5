"""How a system is timed: the same warm-up and the same clock for all, and one line of JSON to report.

Every system runs `python -m systems.<name> WORKLOAD SIZE` in an environment of its own, so only the standard
library is imported here.
"""

import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from workloads import MODELS, WORKLOADS, Model, Workload


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What the timed calls took: seconds by the wall, seconds of all threads of the process, cores of others.

    `disturbed_calls` were left out and made again, since others used more cores than was allowed.
    """

    seconds: list[float]
    cpu_seconds: list[float]
    other_cores: list[float]
    disturbed_calls: int


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one process saw; `compiles` are those of all calls."""

    timing: Timing
    compile_seconds: float
    compiles: int
    compiles_while_timed: int
    peak_bytes: int
    device: str
    versions: dict[str, str]


def time_calls(call: Callable[[int], None], workload: Workload) -> Timing:
    """Time the calls after the warm-up; `call(index)` returns when its result exists.

    Calls begin when other processes use no more cores than the command line allows, and do not count when
    they used more meanwhile. Raises `TimeoutError` after twenty times as many calls as are to be timed.
    """
    timing = Timing(seconds=[], cpu_seconds=[], other_cores=[], disturbed_calls=0)
    for attempt in range(20 * workload.num_timed):
        _wait_for_quiet()
        wall, cpu, machine = time.perf_counter(), time.process_time(), _machine_cpu_seconds()
        call(workload.num_warm_up + attempt % workload.num_timed)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        other_cores = max(0.0, _machine_cpu_seconds() - machine - cpu) / wall
        if other_cores > max_other_cores():
            timing = replace(timing, disturbed_calls=timing.disturbed_calls + 1)
            continue
        timing.seconds.append(wall)
        timing.cpu_seconds.append(cpu)
        timing.other_cores.append(other_cores)
        if len(timing.seconds) == workload.num_timed:
            return timing
    raise TimeoutError(f"others used more than {max_other_cores()} cores during most of {attempt + 1} calls")


def max_other_cores() -> float:
    """Return the cores that other processes may use during a call, the last argument of the command line."""
    return float(sys.argv[3])


def _wait_for_quiet(window_seconds: float = 0.25, max_windows: int = 1200) -> None:
    """Sleep until a window is quiet, or for `max_windows`."""
    for _ in range(max_windows if math.isfinite(max_other_cores()) else 0):
        machine = _machine_cpu_seconds()
        time.sleep(window_seconds)
        if _machine_cpu_seconds() - machine <= max_other_cores() * window_seconds:
            return


def _machine_cpu_seconds() -> float:
    """Return the seconds in which a core of the machine was busy since boot; 0 where Linux does not tell."""
    statistics = Path("/proc/stat")
    if not statistics.exists():
        return 0.0
    user, nice, system, _, _, irq, soft_irq, *_ = statistics.read_text(encoding="ascii").split()[1:11]
    return sum(map(int, (user, nice, system, irq, soft_irq))) / os.sysconf("SC_CLK_TCK")


def warm_up(call: Callable[[int], None], workload: Workload) -> None:
    """Make the calls of which nothing is reported but their compiles."""
    for index in range(workload.num_warm_up):
        call(index)


def peak_process_bytes() -> int:
    """Return the largest resident size of this process."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


def main(measure: Callable[[Model, Workload], Measurement]) -> None:
    """Measure the workload and size of the command line, and print the measurement as the last line."""
    name, size, _ = sys.argv[1:]
    print(json.dumps(asdict(measure(MODELS[size], WORKLOADS[name][size]))), flush=True)

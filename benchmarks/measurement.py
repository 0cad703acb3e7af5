"""How a system is timed: the same warm-up and the same clock for all, and one line of JSON to report.

Every system runs `python -m systems.<name> WORKLOAD SIZE` in an environment of its own, so only the standard
library is imported here.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from workloads import MODELS, WORKLOADS, Model, Workload


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one process saw.

    `seconds` and `cpu_seconds` (of all threads) are those of each timed call, `compiles` those of all calls.
    """

    seconds: list[float]
    cpu_seconds: list[float]
    compile_seconds: float
    compiles: int
    compiles_while_timed: int
    peak_bytes: int
    device: str
    versions: dict[str, str]


class Clock:
    """Seconds of each timed call, by the wall and of all threads of the process."""

    def __init__(self) -> None:
        """Start without a call."""
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []

    def time(self, call: Callable[[int], None], workload: Workload) -> None:
        """Time the calls after the warm-up; `call(index)` returns when its result exists."""
        for index in range(workload.num_warm_up, workload.num_calls):
            wall, cpu = time.perf_counter(), time.process_time()
            call(index)
            self.cpu_seconds.append(time.process_time() - cpu)
            self.seconds.append(time.perf_counter() - wall)


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
    name, size = sys.argv[1:]
    print(json.dumps(asdict(measure(MODELS[size], WORKLOADS[name][size]))), flush=True)

"""Show that a long run costs per step what a short one does: `benchmarks/long_run.py WHAT [--steps N]`.

`records` appends a row, a sample and an event per step as a run does, and prints the median microseconds of a
step in the first and the last tenth, then seconds and peak memory of each way of reading them back: the
summary, and the comparison and the cut of a resume in the middle. `memory` trains the tiny model by `sft` and
prints the resident memory after each tenth of the steps (Linux).
"""

import argparse
import json
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from burnish.platform import run
from burnish.platform.atomic import AppendedFile
from burnish.platform.runs.run_directory import RunDirectory
from burnish.platform.runs.samples import SampleWriter
from burnish.platform.statistics.event_files import event_cuts
from burnish.platform.statistics.logger import StatsLogger
from burnish.platform.statistics.rows import read_rows, row_cut, row_line, size_of_rows_kept
from burnish.platform.statistics.sink import RunEnd, SinkContext, SinkRow
from burnish.platform.statistics.sinks.jsonl import JsonlSink
from burnish.platform.statistics.sinks.tensorboard import TensorBoardSink
from burnish.platform.statistics.summary import summarize

STAGE = "sft"
METRICS = [f"train/metric_{number}" for number in range(24)]
SAMPLE = {"prompt": "12345 + 67890 = ", "completion": "80235", "reward": 1.0, "status": "stopped"}
STEPS_PER_CHECKPOINT = 100
DEFAULT_STEPS = {"records": 100_000, "memory": 2_000}


def main(arguments: list[str] | None = None) -> None:
    """Measure what the command line asks for and print one line of JSON per measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=list(DEFAULT_STEPS))
    parser.add_argument("--steps", type=int)
    options = parser.parse_args(arguments)
    measure = {"records": records, "memory": memory}[options.what]
    with tempfile.TemporaryDirectory() as directory:
        for line in measure(Path(directory), options.steps or DEFAULT_STEPS[options.what]):
            print(json.dumps(line), flush=True)


def records(directory: Path, steps: int) -> Iterator[dict[str, float | str]]:
    """Append the records of `steps` steps and read them back; yield a line for each."""
    root = RunDirectory(directory)
    seconds, flushes, middle = append(root, steps)
    tenth = steps // 10
    yield {
        "append": "row, sample and event",
        "first_tenth_us": round(1e6 * median(seconds[:tenth]), 1),
        "last_tenth_us": round(1e6 * median(seconds[-tenth:]), 1),
        "first_flushes_ms": round(1e3 * median(flushes[: tenth // STEPS_PER_CHECKPOINT + 1]), 2),
        "last_flushes_ms": round(1e3 * median(flushes[-tenth // STEPS_PER_CHECKPOINT - 1 :]), 2),
    }
    megabytes = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6

    def keeps(_: str, step: int) -> bool:
        return step <= steps // 2

    def cut() -> None:
        for change in [*(row_cut(file, keeps) for file in root.row_files), *cuts]:
            change()

    cuts = event_cuts(directory, [], [STAGE], middle)
    reads: Mapping[str, Callable[[], object]] = {
        "summary": lambda: summarize(read_rows(root.metrics), {}),
        "comparison": lambda: [size_of_rows_kept(file, keeps) for file in root.row_files],
        "cut": cut,
    }
    for name, read in reads.items():
        line: dict[str, float | str] = {"read": name, "megabytes": round(megabytes, 1)}
        if name != "cut":  # what is cut is cut once
            started = time.perf_counter()
            read()
            line["seconds"] = round(time.perf_counter() - started, 2)
        yield line | {"peak_megabytes": round(peak_bytes(read) / 1e6, 2)}
    assert root.flush_records() == middle, "a run that goes back has the bytes of its checkpoint"


def append(root: RunDirectory, steps: int) -> tuple[list[float], list[float], Mapping[str, int]]:
    """Append as a run does; return seconds of each step and flush, and the bytes of files in the middle."""
    logger = StatsLogger({"jsonl": JsonlSink(root.path), "tensorboard": TensorBoardSink(root.path)})
    samples = SampleWriter(root.path / "samples" / "evaluation.jsonl", STAGE)
    seconds, flushes, middle = list[float](), list[float](), dict[str, int]()
    for step in range(steps):
        stats = {name: step / (number + 3) for number, name in enumerate(METRICS)}
        started = time.perf_counter()
        samples.write(step, [SAMPLE])
        logger.commit(SinkRow(stage=STAGE, step=step, last_step=steps, global_step=step), stats)
        written = time.perf_counter()
        seconds.append(written - started)
        if step == steps // 2 or step % STEPS_PER_CHECKPOINT == 0:
            sizes = root.flush_records()
            flushes.append(time.perf_counter() - written)
            middle = sizes if step == steps // 2 else middle
    logger.close(RunEnd("complete"))
    return seconds, flushes, middle


def peak_bytes(call: Callable[[], object]) -> int:
    """Return the most memory that Python held at once during a call."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def memory(directory: Path, steps: int) -> Iterator[dict[str, float]]:
    """Train for `steps` steps with every default sink and yield the resident memory on the way."""
    run(
        [
            "stage=sft",
            f"stages.sft.steps={steps}",
            "evaluation.num_problems=4",
            f"evaluation.every_steps={steps // 10}",
            "+sink@logging.sinks.resident=long_run:Resident",
            "run.name=x",
            f"run.output_dir={directory}",
        ]
    )
    rows = {int(row["step"]): row for row in read_rows(directory / "x" / FILE)}
    for step in range(steps // 10, steps + 1, steps // 10):
        yield {"step": step} | {title: round(rows[step][name] / 1e6, 1) for name, title in FIELDS.items()}


FILE = "resident.jsonl"
FIELDS = {"VmRSS": "resident_megabytes", "RssAnon": "own_megabytes"}
"""What Linux calls the resident memory, and the part of it that is no page of a file."""


@dataclass(frozen=True, kw_only=True)
class Resident:
    """The sink that writes how much memory the process has at each row."""

    def build(self, context: SinkContext) -> "ResidentSink":
        """Return the sink."""
        return ResidentSink(context.directory / FILE)


class ResidentSink:
    """Append the resident size of the process, row by row."""

    def __init__(self, path: Path) -> None:
        """Open the file."""
        self._file = AppendedFile(path)

    def commit(self, row: SinkRow, stats: Mapping[str, float]) -> None:  # noqa: ARG002 - of the process alone
        """Append what Linux says, which counts in kibibytes."""
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        said = dict(line.split(":", 1) for line in lines)
        sizes = {name: 1024 * int(said[name].split()[0]) for name in FIELDS}
        self._file.append(row_line(row.stage, row.step, sizes))

    def close(self, end: RunEnd) -> None:  # noqa: ARG002 - the file has no place for it
        """Close the file."""
        self._file.close()


if __name__ == "__main__":
    main()

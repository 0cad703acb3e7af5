"""Show that the host works while the device does: `python benchmarks/overlap.py [--wait]`.

Takes a profile of 40 steps of `sft` on the tiny model, as TensorBoard shows it, and prints how much of the
host's work for a step (the span `train` up to the call of the step: reading demonstrations, making the
batch, placing it) lies within the execution of a program, which is that of the step before. `--wait` blocks
on every step and is the control: host and device then take turns.
"""

import argparse
import gzip
import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax

from burnish.llm.jax_training import JaxTrainingBackend
from burnish.platform import run

EXECUTION = "ThunkExecutor::Execute"
"""How a profile names the execution of a program on a CPU, on whichever thread."""

CALL = "PjitFunction(train_step)"
"""How it names the call that gives a step to the device."""

STEPS = 40
SETTINGS = (
    "stage=sft",
    f"stages.sft.steps={STEPS}",
    "evaluation.num_problems=4",
    f"evaluation.every_steps={STEPS}",
    "checkpoint.save_last=false",
    "~sink@logging.sinks.tensorboard",
)

Interval = tuple[float, float]


def main(arguments: list[str] | None = None) -> None:
    """Profile a run and print its overlap as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wait", action="store_true", help="wait for each step: the control")
    if parser.parse_args(arguments).wait:
        _wait_for_every_step()
    with tempfile.TemporaryDirectory() as directory:
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0
        with jax.profiler.trace(directory, profiler_options=options):
            run([*SETTINGS, f"run.output_dir={directory}/runs"])
        print(json.dumps(overlap_of(events_of(Path(directory)))))


def events_of(directory: Path) -> list[Mapping[str, Any]]:
    """Return the timed events of the profile below `directory`."""
    (path,) = directory.rglob("*.trace.json.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [event for event in json.load(file)["traceEvents"] if event.get("ph") == "X"]


def overlap_of(events: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the steps profiled, the median work of the host in ms, and the share of all under execution."""
    spans, executions, calls = [], [], []
    for event in events:
        interval = (event["ts"], event["ts"] + event.get("dur", 0))
        if event["name"] == "train":
            spans.append(interval)
        elif event["name"] == CALL:
            calls.append(event["ts"])
        elif event["name"].startswith(EXECUTION):
            executions.append(interval)
    # The first steps trace and compile.
    settled = [
        (start, next(call for call in sorted(calls) if start < call < stop))
        for start, stop in sorted(spans)[STEPS // 4 :]
    ]
    durations = sorted(stop - start for start, stop in settled)
    busy = union(executions)
    return {
        "steps": len(settled),
        "host_ms": round(durations[len(durations) // 2] / 1000, 3),
        "share_under_execution": round(sum(covered(span, busy) for span in settled) / sum(durations), 3),
    }


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the same time as intervals that do not touch."""
    joined: list[Interval] = []
    for start, stop in sorted(intervals):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
        else:
            joined.append((start, stop))
    return joined


def covered(span: Interval, intervals: Iterable[Interval]) -> float:
    """Return how much of `span` lies within the intervals."""
    return sum(max(0.0, min(span[1], stop) - max(span[0], start)) for start, stop in intervals)


def _wait_for_every_step() -> None:
    step = JaxTrainingBackend.step

    def waiting(*args: Any, **kwargs: Any) -> Any:
        return jax.block_until_ready(step(*args, **kwargs))

    JaxTrainingBackend.step = waiting


if __name__ == "__main__":
    main()

"""Measure burnish beside its peers: `python benchmarks/run.py WORKLOAD [--size cpu] [--peers hf]`.

Every measurement is a process of its own and prints one `RESULT {json}` line; systems alternate, so that what
else the machine does hits all of them. The ratios come last. Exit status: 0, 1 when a ratio's lower end is
under its bar or a system fails, 2 for a command line that asks for what there is not.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from environments import PEERS, peer_python
from ratios import BARS, PROCESSOR, WALL, below_bar, compare
from workloads import ALIASES, MODELS, PEAK_FLOPS, WORKLOADS, Training

HERE = Path(__file__).resolve().parent
OURS = "burnish"


def main(arguments: list[str] | None = None) -> int:
    """Measure what the command line asks for and return the exit status."""
    options = _parser().parse_args(arguments)
    options.workload = ALIASES.get(options.workload, options.workload)
    peers = [name for name in options.peers.split(",") if name]
    problem = _problem(options, peers)
    if problem:
        print(f"run.py: {problem}", file=sys.stderr)
        return 2
    commands = {OURS: [sys.executable, "-m", "systems.burnish_system"]}
    try:
        for name in peers:
            python = options.peer_python or peer_python(name)
            commands[name] = [str(python), "-m", PEERS[name].module]
        results = alternate(commands, options.workload, options.size, options.pairs, options.quiet)
    except subprocess.CalledProcessError as error:
        print(f"run.py: {error}\n{error.stderr or ''}", file=sys.stderr)
        return 1
    return conclude(results, peers, BARS, options.json)


def alternate(
    commands: Mapping[str, list[str]], workload: str, size: str, num_pairs: int, max_other_cores: float
) -> list[dict[str, Any]]:
    """Run every system once per pair, in reversed order every other time, and print what each measured.

    A command is given workload, size and `max_other_cores` as its last arguments; one that fails raises
    `subprocess.CalledProcessError`.
    """
    results = []
    for pair in range(num_pairs):
        order = list(commands) if pair % 2 == 0 else list(commands)[::-1]
        for system in order:
            command = [*commands[system], workload, size, str(max_other_cores)]
            done = subprocess.run(command, cwd=HERE, check=True, capture_output=True, text=True)
            seen = json.loads(done.stdout.splitlines()[-1])
            results.append(_result(workload, size, system, pair, seen))
            print(f"RESULT {json.dumps(results[-1])}", flush=True)
    return results


def conclude(
    results: list[dict[str, Any]], peers: Sequence[str], bars: Mapping[Any, float], report: Path | None
) -> int:
    """Print the ratio to each peer, write the report, and return 1 when a ratio is under its bar, else 0."""
    ratios = [compare(results, OURS, name, clock) for name in peers for clock in (PROCESSOR, WALL)]
    for ratio in ratios:
        print(f"RATIO {json.dumps(asdict(ratio))}", flush=True)
    if report:
        content = {"machine": _machine(results), "results": results, "ratios": [asdict(r) for r in ratios]}
        report.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    failures = below_bar(ratios, bars)
    for line in failures:
        print(f"run.py: {line}", file=sys.stderr)
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure burnish beside its peers.")
    parser.add_argument("workload", help=_names())
    parser.add_argument("--size", default="cpu", help=", ".join(MODELS))
    parser.add_argument("--peers", default="hf", help=f"comma-separated: {', '.join(PEERS)}; '' for none")
    parser.add_argument(
        "--peer-python", type=Path, help="an interpreter that has what peers need, where none can be made"
    )
    parser.add_argument("--pairs", type=int, default=7, help="measurements of each system (default 7)")
    parser.add_argument(
        "--quiet",
        type=float,
        default=float("inf"),
        metavar="CORES",
        help="make a call again when other processes used more cores than this meanwhile (default: never)",
    )
    parser.add_argument("--json", type=Path, help="file to write all measurements and ratios to")
    return parser


def _problem(options: argparse.Namespace, peers: list[str]) -> str | None:
    """Return what is wrong with the command line in one line, or None."""
    if options.workload not in WORKLOADS:
        return f"there is no workload {options.workload!r}; choose from {_names()}"
    if options.size not in WORKLOADS[options.workload]:
        return f"there is no size {options.size!r}; choose from {', '.join(WORKLOADS[options.workload])}"
    unknown = [name for name in peers if name not in PEERS]
    if unknown:
        return f"there is no peer {unknown[0]!r}; choose from {', '.join(PEERS)}"
    shape = WORKLOADS[options.workload][options.size]
    lacking = [name for name in peers if not isinstance(shape, PEERS[name].kinds)]
    if lacking:
        having = [name for name in PEERS if isinstance(shape, PEERS[name].kinds)]
        return f"the peer {lacking[0]!r} has no {options.workload}; choose from {', '.join(having)}"
    if options.pairs < 1:
        return f"--pairs is {options.pairs}; it must be 1 or more"
    return None


def _names() -> str:
    """Return every workload, with its other name."""
    others = {name: alias for alias, name in ALIASES.items()}
    return ", ".join(f"{name} ({others[name]})" if name in others else name for name in WORKLOADS)


def _result(workload: str, size: str, system: str, pair: int, seen: dict[str, Any]) -> dict[str, Any]:
    shape = WORKLOADS[workload][size]
    timing = seen.pop("timing")
    median_seconds = statistics.median(timing["seconds"])
    tokens_per_s = shape.num_tokens / median_seconds
    peak = PEAK_FLOPS.get(seen["device"])
    mfu = None
    if peak and isinstance(shape, Training):
        mfu = tokens_per_s * MODELS[size].training_flops_per_token(shape.length) / peak
    return {
        "workload": workload,
        "system": system,
        "size": size,
        "pair": pair,
        "median_seconds": median_seconds,
        "tokens_per_s": tokens_per_s,
        "mfu": mfu,
        "cpu_seconds": statistics.median(timing["cpu_seconds"]),
        "other_cores": statistics.median(timing["other_cores"]),
        "disturbed_calls": timing["disturbed_calls"],
        **seen,
    }


def _machine(results: list[dict[str, Any]]) -> str:
    device = results[0]["device"]
    if device != "cpu":
        return device
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return f"{usable} of {os.cpu_count()} CPU cores"


if __name__ == "__main__":
    sys.exit(main())

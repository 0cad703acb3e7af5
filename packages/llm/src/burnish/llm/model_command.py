"""The command `burnish model`: what a run would need of its devices, before it has any."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from burnish.platform.errors import ConfigError

if TYPE_CHECKING:
    from burnish.llm.parameter_plan import PlannedParameter

USAGE = """\
burnish model plan [--devices N] [--target h100|h200] [file.yaml] [key=value ...]

For each stage of the chain that these words compose: shape, place and bytes of every parameter, what stays
whole on each device and why, and the memory of an update as the compiler has planned it. Nothing is loaded.

  --devices N      plan for N devices, in place of those that are here
  --target CARD    plan for cards of this kind, none of which has to be here
"""
FLAGS = ("--devices", "--target")


def model(words: Sequence[str]) -> None:
    """Do what `burnish model` is asked for; ConfigError where it is nothing that it does."""
    match list(words):
        case [] | ["--help" | "-h"] | ["plan", "--help" | "-h"]:
            sys.stdout.write(USAGE)
        case ["plan", *rest]:
            given, overrides = _read(rest)
            print_model_plan(overrides, devices=_number(given.get("--devices")), target=given.get("--target"))
        case [first, *_]:
            raise ConfigError(f"unknown command 'model {first}'; legal: model plan")


def print_model_plan(
    overrides: Sequence[str], *, devices: int | None = None, target: str | None = None
) -> None:
    """Print the plan of every stage of a chain: the parameters, and what `--dry-run` says and more.

    Each stage's update is compiled: for `devices` devices of this machine's processor, or of a `target`.

    Raises:
        BurnishError: what a run would refuse, or an unknown target.
    """
    from burnish.llm.measured_training import MeasuredTraining, target_of
    from burnish.platform.configuration.composition import compose_config
    from burnish.platform.runs import pipeline, report

    card, config = target_of(target), compose_config(overrides)
    if devices is not None or card is not None:
        _pretend(devices or 1)
    stages: dict[str, Any] = dict(config.stages)
    measured = {
        name: MeasuredTraining(stage.training, card)
        for name, stage in stages.items()
        if hasattr(stage, "training")
    }
    stages |= {name: replace(stages[name], training=each) for name, each in measured.items()}
    plans = pipeline.plan(replace(config, stages=stages))
    for name, plan in plans.items():
        if name in measured:
            _print_parameters(name, measured[name].parameters)
        report.print_plan({name: plan})


def _print_parameters(stage: str, parameters: Sequence[PlannedParameter]) -> None:
    from rich.table import Table

    from burnish.platform.lasting_console import LastingConsole

    table = Table(title=f"stage {stage}", title_justify="left")
    table.add_column("parameter", no_wrap=True)
    for title in ("shape", "split", "on a device", "of"):
        table.add_column(title)
    for parameter in parameters:
        table.add_row(*parameter[:5])
    console = LastingConsole(soft_wrap=True)
    console.print(table)
    if whole := "; ".join(f"{each.path}: {each.why_whole}" for each in parameters if each.why_whole):
        console.print(f"whole on each device, as nothing divides them: {whole}", highlight=False)


def _read(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the values of our flags, and all other words."""
    given: dict[str, str] = {}
    rest, others = list(words), list[str]()
    while rest:
        word = rest.pop(0)
        if word not in FLAGS:
            others.append(word)
        elif rest:
            given[word] = rest.pop(0)
        else:
            raise ConfigError(f"{word}: expected a value after it")
    return given, others


def _number(text: str | None) -> int | None:
    if text is not None and not (text.isdecimal() and int(text) > 0):
        raise ConfigError(f"--devices={text}: expected a whole number of 1 or more")
    return None if text is None else int(text)


def _pretend(devices: int) -> None:
    """Let jax have so many devices, which are all one processor."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)

"""The command `burnish model`: what a run would need of its devices, before it has any."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.errors import ConfigError

if TYPE_CHECKING:
    from burnish.llm.parameter_plan import PlannedParameter

USAGE = """\
burnish model plan [--devices N] [--target h100|h200] [file.yaml] [key=value ...]

For each stage of the chain that these words compose: shape, place and bytes of every parameter, what stays
whole on each device and why, and the memory of an update as the compiler has planned it. Nothing is loaded.

  --devices N      plan for N devices of this machine's processor, in place of those that are here
  --target CARD    plan for cards of this kind, none of which has to be here
"""
FLAGS = ("--devices", "--target")


def model(words: Sequence[str]) -> None:
    """Do what `burnish model` is asked for; ConfigError where it is nothing that it does."""
    match list(words):
        case [] | ["--help" | "-h", *_] | ["plan", "--help" | "-h", *_]:
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

    Each update is compiled: for the devices here, for `devices` of this machine's processor, or for as many
    of a `target` as the mesh has.

    Raises:
        BurnishError: what a run would refuse, or an unknown target.
    """
    from burnish.llm.compiled_plan import COMPILED_FOR, compiling_plans
    from burnish.llm.target import named
    from burnish.platform.configuration.composition import compose_config
    from burnish.platform.runs import pipeline, report

    card = None if target is None else named(target)
    config = compose_config(overrides)
    if devices is not None or card is not None:
        _pretend(devices or config.jax.mesh.num_devices)
    with compiling_plans(card) as compiled:
        plans = pipeline.plan(config)
    for name, plan in plans.items():
        if COMPILED_FOR in plan:
            _print_parameters(name, compiled.pop(0))
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
    """Return the values of our flags, `--flag value` or `--flag=value`, and all words that are no flags."""
    given: dict[str, str] = {}
    rest, others = list(words), list[str]()
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        if not flag.startswith("-"):
            others.append(f"{flag}{equals}{value}")
        elif flag not in FLAGS:
            raise ConfigError(f"unknown flag '{flag}'{suggestion(flag, FLAGS)}; legal: {', '.join(FLAGS)}")
        elif not equals and not rest:
            raise ConfigError(f"{flag}: expected a value after it")
        else:
            given[flag] = value if equals else rest.pop(0)
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

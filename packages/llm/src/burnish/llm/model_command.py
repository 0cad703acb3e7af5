"""The command `burnish model`: what a run would need of its devices, before it has any."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from burnish.platform.errors import ConfigError

USAGE = """\
burnish model plan [--devices N] [file.yaml] [key=value ...]

For each stage of the chain that these words compose: shape, place and bytes of every parameter, what stays
whole on each device and why, and the memory of an update as the compiler has planned it. Nothing is loaded.

  --devices N   plan for N devices of this machine's processor in place of those there are
"""


def model(words: Sequence[str]) -> None:
    """Do what `burnish model` is asked for; ConfigError where it is nothing that it does."""
    match list(words):
        case [] | ["--help" | "-h"] | ["plan", "--help" | "-h"]:
            sys.stdout.write(USAGE)
        case ["plan", *rest]:
            devices, overrides = _read(rest)
            print_model_plan(overrides, devices)
        case _:
            raise ConfigError(f"unknown command 'model {' '.join(words)}'; legal: model plan")


def print_model_plan(overrides: Sequence[str], devices: int | None = None) -> None:
    """Print the plan of every stage of a chain, as `--dry-run` does and more; compiles each one's update.

    Raises:
        BurnishError: what a run would refuse.
    """
    from burnish.platform.configuration.composition import compose_config
    from burnish.platform.runs import pipeline, report

    config = compose_config(overrides)
    if devices is not None:
        _pretend(devices)
    stages = {name: _measured(stage) for name, stage in config.stages.items()}
    report.print_plan(pipeline.plan(replace(config, stages=stages)))


@dataclass(frozen=True)
class Measured:
    """A training component whose plan says how all lies on its devices, and what the compiler needs."""

    component: Any

    def check(self, *arguments: Any) -> None:
        """Refuse what the component refuses."""
        self.component.check(*arguments)

    def plan(self, context: Any, batch: Any, objective: Any) -> Mapping[str, int | float | str]:
        """Return the component's plan, and what is known where it can compile its step."""
        from burnish.llm.footprint import human_bytes
        from burnish.llm.parameter_plan import bytes_of_state, memory_plan, parameter_plan
        from burnish.llm.training import Compiles

        plan = self.component.plan(context, batch, objective)
        if not isinstance(self.component, Compiles):
            return plan
        layout = self.component.layout(context)
        return {
            **parameter_plan(layout),
            **plan,
            "memory of parameters and optimizer on a device": human_bytes(bytes_of_state(layout)),
            **dict(memory_plan(self.component.compiled(context, batch, objective))),
        }

    def build(self, context: Any) -> Any:
        """Return what the component builds."""
        return self.component.build(context)


def _measured(stage: Any) -> Any:
    """Return a stage whose training component tells more, where it has one."""
    training = getattr(stage, "training", None)
    return stage if training is None else replace(stage, training=Measured(training))


def _read(words: Sequence[str]) -> tuple[int | None, list[str]]:
    """Return the number after `--devices`, and all other words."""
    rest = list(words)
    if "--devices" not in rest:
        return None, rest
    at = rest.index("--devices")
    number = rest[at + 1] if at + 1 < len(rest) else ""
    if not number.isdecimal() or int(number) < 1:
        raise ConfigError(f"--devices: expected a whole number of 1 or more after it, got '{number}'")
    return int(number), rest[:at] + rest[at + 2 :]


def _pretend(devices: int) -> None:
    """Let jax have so many devices, which are all one processor."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)

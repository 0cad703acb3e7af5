"""What a stage's plan says of its compiled update, where somebody has asked for it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING

from burnish.llm.parameter_plan import PlannedParameter, memory_of, planned_parameters, state_on_a_device
from burnish.llm.target import Target, compiling_for, mesh_of_target, target_now

if TYPE_CHECKING:
    from burnish.llm.batch import TokenBatch
    from burnish.llm.objective import Objective
    from burnish.llm.training import Compiles, TrainingContext

Parameters = list[PlannedParameter]


@contextmanager
def compiling_plans(target: Target | None) -> Generator[list[Parameters]]:
    """Let plans compile, for the target where there is one; yield the parameters of each that has."""
    found: list[Parameters] = []
    token = _FOUND.set(found)
    try:
        with nullcontext() if target is None else compiling_for(target):
            yield found
    finally:
        _FOUND.reset(token)


def compiled_plan(
    component: Compiles, context: TrainingContext, batch: TokenBatch, objective: Objective
) -> Mapping[str, str]:
    """Return what the compiler needs for an update; nothing where nobody asks, for it takes its time."""
    found, target = _FOUND.get(), target_now()
    if found is None:
        return {}
    if target is not None:
        dp, fsdp, tp = context.mesh.devices.shape
        context = replace(context, mesh=mesh_of_target(target, (dp, fsdp, tp)))
    layout = component.layout(context)
    found.append(planned_parameters(layout))
    return {
        COMPILED_FOR: f"{context.mesh.size} x {context.mesh.devices.flat[0].device_kind}",
        "parameters and optimizer on a device": state_on_a_device(layout),
        **memory_of(component.compiled(context, batch, objective)),
    }


COMPILED_FOR = "compiled for"
"""What the line of such a plan is called."""

_FOUND: ContextVar[list[Parameters] | None] = ContextVar("found", default=None)

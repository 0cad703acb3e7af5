"""A training component whose plan says what the compiler needs, for the devices at hand or for others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from burnish.llm.parameter_plan import PlannedParameter, memory_of, planned_parameters, state_on_a_device
from burnish.llm.target import TARGETS, Target, compiling_for, mesh_of_target
from burnish.llm.training import Compiles, TrainingComponent, TrainingContext
from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.errors import ConfigError

if TYPE_CHECKING:
    from burnish.llm.batch import TokenBatch
    from burnish.llm.families.protocol import CausalLM
    from burnish.llm.objective import Objective
    from burnish.llm.training import TrainingBackend
    from burnish.platform.configuration.config import MeshConfig


def target_of(name: str | None) -> Target | None:
    """Return the card of a name; ConfigError where there is none."""
    if name is not None and name not in TARGETS:
        raise ConfigError(f"--target={name}: unknown{suggestion(name, TARGETS)}; legal: {', '.join(TARGETS)}")
    return None if name is None else TARGETS[name]


@dataclass(frozen=True)
class MeasuredTraining:
    """Does what the component does, and compiles its step where it is asked for a plan."""

    component: TrainingComponent
    target: Target | None = None
    parameters: list[PlannedParameter] = field(default_factory=list[PlannedParameter], compare=False)
    """Those of the last plan."""

    def check(self, num_rows: int, mesh: MeshConfig, model: Callable[[], CausalLM] | None) -> None:
        """Refuse what the component refuses."""
        self.component.check(num_rows, mesh, model)

    def plan(
        self, context: TrainingContext, batch: TokenBatch, objective: Objective
    ) -> Mapping[str, int | float | str]:
        """Return the component's plan, and more where it can compile its step."""
        plan = self.component.plan(context, batch, objective)
        if not isinstance(self.component, Compiles):
            return plan
        if self.target is not None:
            sizes = tuple(context.mesh.devices.shape)
            context = replace(context, mesh=mesh_of_target(self.target, sizes))
        layout = self.component.layout(context)
        self.parameters[:] = planned_parameters(layout)
        with nullcontext() if self.target is None else compiling_for(self.target):
            compiled = self.component.compiled(context, batch, objective)
        kind = context.mesh.devices.flat[0].device_kind
        return {
            **plan,
            "compiled for": f"{context.mesh.size} x {kind}",
            "parameters and optimizer on a device": state_on_a_device(layout),
            **memory_of(compiled),
        }

    def build(self, context: TrainingContext) -> TrainingBackend:
        """Return what the component builds."""
        return self.component.build(context)

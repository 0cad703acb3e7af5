"""How the parameters that a stage trains lie on its devices, and what a device holds of all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

from burnish.llm.families.parameters import leaves_by_path
from burnish.llm.footprint import human_bytes, num_bytes
from burnish.llm.sharding import parameter_shardings, undivided
from burnish.llm.train_state import StateLayout


class PlannedParameter(NamedTuple):
    """One parameter as it is computed with, in words."""

    path: str
    shape: str
    split: str
    """Which of its dims are split over which axes of the mesh."""

    on_a_device: str
    whole: str
    why_whole: str
    """The dims that stay whole for want of a divisor."""


def planned_parameters(layout: StateLayout) -> list[PlannedParameter]:
    """Return the parameters that a step computes with; nothing is allocated."""
    shardings = leaves_by_path(parameter_shardings(layout.model, layout.mesh))
    axes = leaves_by_path(layout.model.logical_axes)
    return [
        PlannedParameter(
            path="/".join(path),
            shape=" x ".join(map(str, leaf.shape)),
            split=", ".join(_split(axes[path], shardings[path].spec)) or "no",
            on_a_device=human_bytes(_bytes_on_one(leaf, shardings[path])),
            whole=human_bytes(num_bytes(leaf)),
            why_whole=", ".join(undivided(axes[path], leaf.shape, layout.mesh)),
        )
        for path, leaf in leaves_by_path(layout.model.abstract(layout.compute_dtype)).items()
    ]


def state_on_a_device(layout: StateLayout) -> str:
    """Return the memory that masters and moments take on one device, in words."""
    leaves, lying = jax.tree.leaves(layout.abstract_state()), jax.tree.leaves(layout.state_shardings())
    return human_bytes(sum(_bytes_on_one(*pair) for pair in zip(leaves, lying, strict=True)))


def memory_of(compiled: jax.stages.Compiled) -> dict[str, str]:
    """Return what the compiler says that a program needs on each device, in words."""
    memory = compiled.memory_analysis()
    if memory is None:
        return {"a step on a device": "this compiler does not say"}
    held, new = memory.argument_size_in_bytes, memory.output_size_in_bytes - memory.alias_size_in_bytes
    parts = {"state, weights, batch": held, "temporaries": memory.temp_size_in_bytes, "new weights": new}
    together = ", ".join(f"{human_bytes(size)} {part}" for part, size in parts.items())
    return {"a step on a device": f"{human_bytes(sum(parts.values()))}: {together}"}


def _bytes_on_one(leaf: jax.ShapeDtypeStruct, sharding: Any) -> int:
    return num_bytes(jax.ShapeDtypeStruct(sharding.shard_shape(leaf.shape), leaf.dtype))


def _split(axes: tuple[str, ...], spec: Any) -> Iterator[str]:
    """Yield each dim that is split, by its logical axis, and the axes of the mesh that split it."""
    for axis, taken in zip(axes, spec, strict=False):
        if taken:
            yield f"{axis} over {taken if isinstance(taken, str) else ' x '.join(taken)}"

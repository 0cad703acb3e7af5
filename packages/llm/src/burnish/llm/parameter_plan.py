"""How the parameters that a stage trains lie on its devices, and what a device holds of all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax

from burnish.llm.families.parameters import leaves_by_path
from burnish.llm.footprint import human_bytes, num_bytes
from burnish.llm.sharding import parameter_shardings, undivided
from burnish.llm.train_state import StateLayout


def parameter_plan(layout: StateLayout) -> Mapping[str, str]:
    """Return shape, place and bytes of each parameter, in words, and what no divisor lets be split."""
    abstract = leaves_by_path(layout.model.abstract(layout.compute_dtype))
    shardings = leaves_by_path(parameter_shardings(layout.model, layout.mesh))
    axes = leaves_by_path(layout.model.logical_axes)
    lines = {
        "/".join(path): f"{list(leaf.shape)} {_place(shardings[path].spec)}, "
        f"{human_bytes(_bytes_on_one(leaf, shardings[path]))} of {human_bytes(num_bytes(leaf))}"
        for path, leaf in abstract.items()
    }
    whole = "; ".join(
        f"{'/'.join(path)}: {dim}"
        for path, leaf in abstract.items()
        for dim in undivided(axes[path], leaf.shape, layout.mesh)
    )
    return {**lines, **({"whole on each device": whole} if whole else {})}


def bytes_of_state(layout: StateLayout) -> int:
    """Return the bytes of masters and moments on one device."""
    pairs = zip(
        jax.tree.leaves(layout.abstract_state()), jax.tree.leaves(layout.state_shardings()), strict=True
    )
    return sum(_bytes_on_one(leaf, sharding) for leaf, sharding in pairs)


def _bytes_on_one(leaf: jax.ShapeDtypeStruct, sharding: Any) -> int:
    shard = sharding.shard_shape(leaf.shape)
    return num_bytes(jax.ShapeDtypeStruct(shard, leaf.dtype))


def _place(spec: Any) -> str:
    """Say which dims are split over which axes of the mesh."""
    split = [f"dim {dim} over {' x '.join(axes)}" for dim, axes in enumerate(spec) if axes]
    return ", ".join(split) or "whole"


def memory_plan(compiled: jax.stages.Compiled) -> Iterator[tuple[str, str]]:
    """Yield what the compiler says that a program needs on each device."""
    memory = compiled.memory_analysis()
    if memory is None:
        yield "memory of a step", "this compiler does not say"
        return
    held, made = memory.argument_size_in_bytes, memory.output_size_in_bytes - memory.alias_size_in_bytes
    yield "memory of a step on a device: state, weights, batch", human_bytes(held)
    yield "memory of a step on a device: temporaries", human_bytes(memory.temp_size_in_bytes)
    yield "memory of a step on a device: new weights", human_bytes(made)
    yield "memory of a step on a device: together", human_bytes(held + made + memory.temp_size_in_bytes)

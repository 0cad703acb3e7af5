"""The decode state on the device: slots with their caches, and the static facts programs are compiled for."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float32, Int32, UInt32

from burnish.llm.families.protocol import CausalLM

ROW_AXES = ("dp", "fsdp")
"""Mesh axes that rows are spread over; along the others every device holds the same rows."""


@dataclass(frozen=True)
class EngineShape:
    """All that the compiled programs depend on; two engines of one shape share them.

    `length` is the room for prompt and completion.
    """

    model: CausalLM
    slots: int
    length: int
    decode_steps: int
    prefill_rows: int
    prefill_tokens: int
    dtype: np.dtype[Any]
    mesh: Mesh

    @property
    def num_row_shards(self) -> int:
        """The number of devices, or groups of devices, with rows of their own."""
        return int(np.prod([self.mesh.shape[axis] for axis in ROW_AXES]))

    @property
    def for_prompts(self) -> "EngineShape":
        """What prefilling depends on: shapes that differ in slots alone share its programs."""
        return replace(self, slots=self.prefill_rows)

    def with_slots(self, slots: int) -> "EngineShape":
        """Return the shape of other slots, which so many prompts at most wait for."""
        return replace(self, slots=slots, prefill_rows=min(self.prefill_rows, slots))


class SlotState(NamedTuple):
    """One row per slot. `token` at `position` is the last known one: not yet in the cache, nor fed forward.

    `remaining` counts the tokens a row may still emit. An idle row keeps its numbers and writes nothing.
    """

    cache: Any
    token: Int32[Array, " b"]
    position: Int32[Array, " b"]
    remaining: Int32[Array, " b"]
    is_active: Bool[Array, " b"]
    temperature: Float32[Array, " b"]
    key_data: UInt32[Array, "b 2"]


ROWS = P(ROW_AXES)
"""Of every array of a state, those of the model's cache included: rows are their first dim."""


def per_device(shape: EngineShape, function: Any, in_specs: Any, out_specs: Any) -> Any:
    """Return `function` run by each device on its own rows, without any exchange but its own collectives."""
    return jax.shard_map(function, mesh=shape.mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)


@partial(jax.jit, static_argnums=0)
def idle_state(shape: EngineShape) -> SlotState:
    """Return a state in which every slot waits for a request."""
    rows = jnp.zeros(shape.slots, jnp.int32)
    state = SlotState(
        cache=shape.model.init_cache(shape.slots, shape.length, shape.dtype),
        token=rows,
        position=rows,
        remaining=rows,
        is_active=jnp.zeros(shape.slots, bool),
        temperature=jnp.zeros(shape.slots, jnp.float32),
        key_data=jnp.zeros((shape.slots, 2), jnp.uint32),
    )
    return _placed(shape, state)


@partial(jax.jit, static_argnums=0)
def prefill_cache(shape: EngineShape) -> Any:
    """Return the cache that prompts are prefilled into before slots take them over."""
    return _placed(shape, shape.model.init_cache(shape.prefill_rows, shape.length, shape.dtype))


def _placed(shape: EngineShape, tree: Any) -> Any:
    return jax.lax.with_sharding_constraint(tree, NamedSharding(shape.mesh, ROWS))

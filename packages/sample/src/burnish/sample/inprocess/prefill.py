"""From prompts to occupied slots: chunks of fixed shape into a cache of their own, then copied over.

A prompt is prefilled up to, but without, its last token: that one is the first the decode loop feeds forward,
so the decode loop alone samples.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float32, Int32, UInt32

from burnish.platform.device.keys import fold_words
from burnish.sample.inprocess.state import (
    ROW_AXES,
    ROWS,
    EngineShape,
    SlotState,
    per_device,
)


class Admission(NamedTuple):
    """Requests that enter slots, `prefill_rows` of them at most; a row with slot -1 is none.

    `source` is the row of the prefill cache that holds the prompt: requests with one prompt share it.
    """

    slot: Int32[Array, " a"]
    source: Int32[Array, " a"]
    token: Int32[Array, " a"]
    position: Int32[Array, " a"]
    budget: Int32[Array, " a"]
    temperature: Float32[Array, " a"]
    key_words: UInt32[Array, "a 5"]


class PromptChunk(NamedTuple):
    """Tokens `start` to `start + c` of each row's prompt; `lengths` counts all that are to be prefilled."""

    tokens: Any
    start: Any
    lengths: Any


@partial(jax.jit, static_argnums=0, donate_argnums=2)
def prefill(shape: EngineShape, params: Any, cache: Any, chunk: PromptChunk) -> Any:
    """Return the cache with the chunk's prompt tokens written. The first chunk clears it."""

    def write(params: Any, cache: Any, chunk: PromptChunk) -> Any:
        tokens: Int32[Array, "r c"] = chunk.tokens
        positions = jnp.broadcast_to(chunk.start + jnp.arange(tokens.shape[1])[None], tokens.shape)
        segment_ids = (positions < chunk.lengths[:, None]).astype(jnp.int32)
        cleared = jax.tree.map(lambda leaf: jnp.where(chunk.start == 0, jnp.zeros_like(leaf), leaf), cache)
        return shape.model.forward(params, tokens, positions, segment_ids, cleared).cache

    specs = (P(), ROWS, PromptChunk(ROWS, P(), ROWS))
    return per_device(shape, write, specs, ROWS)(params, cache, chunk)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def admit(shape: EngineShape, state: SlotState, cache: Any, admission: Admission) -> SlotState:
    """Return the state with the admitted requests in their slots, ready for the first decode step."""

    def occupy(state: SlotState, cache: Any, admission: Admission) -> SlotState:
        slot, whole = _local_slots(state, admission.slot), _all_rows(cache)
        key_data = jax.random.key_data(fold_words(admission.key_words))

        def put(column: Array, values: Array | bool) -> Array:
            return column.at[slot].set(values, mode="drop")

        return SlotState(
            cache=jax.tree.map(
                lambda mine, new: mine.at[slot].set(new[admission.source], mode="drop"),
                state.cache,
                whole,
            ),
            token=put(state.token, admission.token),
            position=put(state.position, admission.position),
            remaining=put(state.remaining, admission.budget),
            is_active=put(state.is_active, True),  # noqa: FBT003 - a value to write, not a flag
            temperature=put(state.temperature, admission.temperature),
            key_data=put(state.key_data, key_data),
        )

    specs = (ROWS, ROWS, P())
    return per_device(shape, occupy, specs, ROWS)(state, cache, admission)


def _local_slots(state: SlotState, slot: Int32[Array, " a"]) -> Int32[Array, " a"]:
    """Return slot numbers among this device's rows; past the end for no slot and for other devices' slots."""
    num_local = state.token.shape[0]
    slot = slot - jax.lax.axis_index(ROW_AXES) * num_local
    is_local: Bool[Array, " a"] = (slot >= 0) & (slot < num_local)
    return jnp.where(is_local, slot, num_local)


def _all_rows(cache: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.lax.all_gather(leaf, ROW_AXES, axis=0, tiled=True), cache)

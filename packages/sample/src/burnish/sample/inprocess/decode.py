"""The decode chunk: up to a fixed number of steps over all slots in one compiled loop."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float32, Int32

from burnish.llm.head import Head
from burnish.sample.inprocess.state import ROWS, EngineShape, SlotState, per_device
from burnish.sample.sampling import sample


class Chunk(NamedTuple):
    """What a chunk emitted: the first `num_emitted` of each row's `tokens` and `logprobs`.

    `is_active` tells which rows go on; `steps` counts the steps done, per device that rows are spread over.
    """

    tokens: Int32[Array, "b s"]
    logprobs: Float32[Array, "b s"]
    num_emitted: Int32[Array, " b"]
    is_active: Bool[Array, " b"]
    steps: Int32[Array, " r"]


@partial(jax.jit, static_argnums=0, donate_argnums=2)
def decode(
    shape: EngineShape,
    params: Any,
    state: SlotState,
    eos_token_ids: Int32[Array, " e"],
    idle_limit: Int32[Array, ""],
) -> tuple[SlotState, Chunk]:
    """Return the state after up to `shape.decode_steps` steps, and what they emitted.

    A row ends with an end-of-sequence token or with its budget, and idles from then on. The loop ends
    before its limit when `idle_limit` rows of a device, or all of them, are idle.
    """

    def run(
        params: Any, state: SlotState, eos_token_ids: Array, idle_limit: Array
    ) -> tuple[SlotState, Chunk]:
        head = shape.model.head(params)
        rows = state.token.shape[0]

        def goes_on(carry: tuple[SlotState, Chunk]) -> Bool[Array, ""]:
            state, chunk = carry
            num_idle = rows - jnp.sum(state.is_active)
            return (chunk.steps[0] < shape.decode_steps) & (num_idle < jnp.minimum(idle_limit, rows))

        def step(carry: tuple[SlotState, Chunk]) -> tuple[SlotState, Chunk]:
            return _step(shape, (params, head), eos_token_ids, *carry)

        state, chunk = jax.lax.while_loop(goes_on, step, (state, _empty_chunk(shape, state)))
        return state, chunk._replace(is_active=state.is_active)

    specs = (P(), ROWS, P(), P())
    return per_device(shape, run, specs, (ROWS, ROWS))(params, state, eos_token_ids, idle_limit)


def _empty_chunk(shape: EngineShape, state: SlotState) -> Chunk:
    rows = state.token.shape[0]
    return Chunk(
        tokens=jnp.zeros((rows, shape.decode_steps), jnp.int32),
        logprobs=jnp.zeros((rows, shape.decode_steps), jnp.float32),
        num_emitted=jnp.zeros(rows, jnp.int32),
        is_active=state.is_active,
        steps=jnp.zeros(1, jnp.int32),
    )


def _step(
    shape: EngineShape,
    weights: tuple[Any, Head],
    eos_token_ids: Int32[Array, " e"],
    state: SlotState,
    chunk: Chunk,
) -> tuple[SlotState, Chunk]:
    """Feed each active row's token forward, draw the next one, and note it."""
    params, head = weights
    active = state.is_active
    output = shape.model.forward(
        params, state.token[:, None], state.position[:, None], active.astype(jnp.int32)[:, None], state.cache
    )
    logits = head.logits(output.hidden[:, 0])
    position = state.position + active
    keys = jax.vmap(jax.random.fold_in)(jax.random.wrap_key_data(state.key_data), position)
    token, logprob = sample(keys, logits, state.temperature)
    is_last = jnp.any(token[:, None] == eos_token_ids[None], axis=1) | (state.remaining <= 1)
    after = state._replace(
        cache=output.cache,
        token=jnp.where(active, token, state.token),
        position=position,
        remaining=state.remaining - active,
        is_active=active & ~is_last,
    )
    column = chunk.steps[0]
    return after, Chunk(
        tokens=chunk.tokens.at[:, column].set(token),
        logprobs=chunk.logprobs.at[:, column].set(logprob),
        num_emitted=chunk.num_emitted + active,
        is_active=after.is_active,
        steps=chunk.steps + 1,
    )

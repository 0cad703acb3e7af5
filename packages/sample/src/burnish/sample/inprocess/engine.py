"""The engine's host loop: fill free slots from the queue, decode a chunk, note what it emitted, again.

Shapes depend on the number of slots alone, whatever the prompts' lengths, so five programs serve every call
of as many: two that allocate, `prefill`, `admit` and `decode`.
"""

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from burnish.llm.head import require_logits
from burnish.llm.versioned_weights import Weights
from burnish.platform.activity import busy
from burnish.platform.errors import ConfigError, DataError
from burnish.platform.statistics.tracker import StatsTracker
from burnish.sample.engine import EngineContext
from burnish.sample.inprocess.decode import decode
from burnish.sample.inprocess.prefill import PromptChunk, admit, prefill
from burnish.sample.inprocess.slot_count import most_per_device, slots_for
from burnish.sample.inprocess.slot_table import SlotTable
from burnish.sample.inprocess.state import EngineShape, SlotState, idle_state, prefill_cache
from burnish.sample.inprocess.weights import place
from burnish.sample.request import Completion, Request

NO_WEIGHTS = -1


def build_engine(
    context: EngineContext,
    *,
    slots: int | Literal["auto"],
    decode_steps: int,
    refill_slots: int,
    prefill_rows: int,
    prefill_tokens: int,
) -> "InProcessEngine":
    """Return an engine with room for the largest request that the context allows.

    Raises `ConfigError` when slots or prefill rows cannot be spread evenly over the mesh.
    """
    shape = EngineShape(
        model=context.model,
        slots=0 if slots == "auto" else slots,
        length=context.limits.max_tokens,
        decode_steps=decode_steps,
        prefill_rows=prefill_rows,
        prefill_tokens=prefill_tokens,
        dtype=jnp.dtype(context.jax.compute_dtype),
        mesh=context.mesh,
    )
    eos_token_ids = context.tokenizer.eos_token_ids
    _check_rows(shape)
    require_logits(jax.eval_shape(context.model.head, context.model.abstract(shape.dtype)), "engine")
    if slots != "auto":
        return InProcessEngine(shape.with_slots(slots), eos_token_ids, refill_slots)
    largest = shape.with_slots(most_per_device(shape) * shape.num_row_shards)
    return InProcessEngine(largest, eos_token_ids, refill_slots, fits_slots=True)


def _check_rows(shape: EngineShape) -> None:
    shards = shape.num_row_shards
    for name, rows in (("slots", shape.slots), ("prefill_rows", shape.prefill_rows)):
        if rows % shards:
            raise ConfigError(
                f"`engine.{name}` is {rows}, not divisible by the {shards} devices of dp x fsdp; "
                f"use {rows - rows % shards or shards} or {rows + shards - rows % shards}"
            )


class InProcessEngine:
    """Decodes on the devices of this process; implements `burnish.sample.engine.Engine`."""

    def __init__(
        self,
        shape: EngineShape,
        eos_token_ids: Sequence[int],
        refill_slots: int,
        *,
        fits_slots: bool = False,
    ) -> None:
        """Hold the static facts; device memory is taken by weights, and by slots during `generate` only.

        With `fits_slots` a call takes as many slots as it has requests, at most those of `shape`.
        """
        self.shape = shape
        self._fits_slots = fits_slots
        self._eos_token_ids = np.array(eos_token_ids, np.int32)
        self._refill_slots = refill_slots
        self._params: Any = None
        self._version = NO_WEIGHTS
        self._stats = StatsTracker()

    @property
    def version(self) -> int:
        """Return the version of the weights in use; -1 before the first `update_weights`."""
        return self._version

    def update_weights(self, weights: Weights) -> None:
        """Use `weights` from now on; buffers already in place and dtype are shared, not copied."""
        self._params, moved = place(weights.tree, self.shape.dtype, self.shape.mesh)
        self._version = weights.version
        self._stats.sum("weight_sync_bytes", moved)

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Return one completion per request, in the order of the requests.

        Raises `DataError` for a request that is empty or does not fit the engine.
        """
        assert self._params is not None, "an engine needs `update_weights` before `generate`"
        self._check(requests)
        shape = self._shape_of(len(requests))
        table = SlotTable(requests, shape.slots, self._eos_token_ids.tolist())
        refill_slots = max(1, min(self._refill_slots, shape.slots // shape.num_row_shards // 8))
        state, steps = idle_state(shape), 0
        with busy("generate", len(requests)) as advance:
            while table.num_free < shape.slots or table.num_waiting:
                state = self._fill(shape, state, table)
                idle_limit = np.int32(refill_slots if table.num_waiting else shape.slots)
                state, chunk = decode(shape, self._params, state, self._eos_token_ids, idle_limit)
                chunk = jax.device_get(chunk)
                advance(table.record(chunk))
                steps += int(chunk.steps.max())
        self._count(shape.slots, steps, table.num_emitted)
        return table.completions(self._version)

    def stats(self) -> StatsTracker:
        """Return decode steps, tokens, slot utilization and bytes of weights moved since the last call."""
        taken, self._stats = self._stats, StatsTracker()
        return taken

    def _shape_of(self, num_requests: int) -> EngineShape:
        if not self._fits_slots:
            return self.shape
        shards = self.shape.num_row_shards
        return self.shape.with_slots(slots_for(num_requests, shards, self.shape.slots // shards))

    def _fill(self, shape: EngineShape, state: SlotState, table: SlotTable) -> SlotState:
        """Prefill waiting requests into free slots until one of both has run out."""
        prompts = shape.for_prompts
        while table.num_waiting and table.num_free:
            batch = table.take(shape.prefill_rows, shape.prefill_tokens)
            cache = prefill_cache(prompts)
            for index, tokens in enumerate(batch.chunks):
                start = np.int32(index * shape.prefill_tokens)
                cache = prefill(prompts, self._params, cache, PromptChunk(tokens, start, batch.lengths))
            for admission in batch.admissions:
                state = admit(shape, state, cache, admission)
        return state

    def _check(self, requests: Sequence[Request]) -> None:
        for request in requests:
            prompt, new = len(request.prompt_tokens), request.max_new_tokens
            if prompt < 1 or new < 1:
                raise DataError(
                    f"request {request.id} has {prompt} prompt tokens and max_new_tokens={new}; "
                    "both must be 1 or more"
                )
            if prompt + new > self.shape.length:
                raise DataError(
                    f"request {request.id} needs {prompt} prompt + {new} new = {prompt + new} tokens, the "
                    f"engine has room for {self.shape.length}: shorten the prompt or lower max_new_tokens"
                )

    def _count(self, slots: int, steps: int, tokens: int) -> None:
        self._stats.sum("decode_steps", steps)
        self._stats.sum("tokens", tokens)
        self._stats.ratio("utilization", tokens, steps * slots)

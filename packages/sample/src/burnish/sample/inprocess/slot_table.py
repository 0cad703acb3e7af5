"""The host's side of decoding in numpy: which request sits in which slot, and what each has emitted so far.

Work per request is a few Python operations, work per token is none.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from burnish.sample.inprocess.decode import Chunk
from burnish.sample.inprocess.prefill import Admission
from burnish.sample.request import Completion, Request

NO_SLOT = -1


class PromptBatch(NamedTuple):
    """Different prompts to prefill together, and the requests that take them over, batch by batch."""

    chunks: list[np.ndarray]
    lengths: np.ndarray
    admissions: list[Admission]


class SlotTable:
    """Requests of one `generate` call: waiting, in a slot, or ended."""

    def __init__(self, requests: Sequence[Request], slots: int, eos_token_ids: Sequence[int]) -> None:
        """Queue the requests in their order."""
        count = len(requests)
        self._requests = requests
        self._lengths = np.fromiter((len(request.prompt_tokens) for request in requests), np.int32, count)
        self._offsets = np.concatenate([[0], np.cumsum(self._lengths)])
        flat = chain.from_iterable(request.prompt_tokens for request in requests)
        self._flat = np.fromiter(flat, np.int32, int(self._offsets[-1]))
        self._budgets = np.fromiter((request.max_new_tokens for request in requests), np.int32, count)
        self._temperatures = np.fromiter((request.temperature for request in requests), np.float32, count)
        self._key_words = np.array([request.key_words for request in requests], np.uint32).reshape(count, 5)
        self._prompt_ids = self._number_prompts()
        self._eos_token_ids = np.array(eos_token_ids, np.int32)
        width = int(self._budgets.max(initial=0))
        self._tokens = np.zeros((count, width), np.int32)
        self._logprobs = np.zeros((count, width), np.float32)
        self._emitted = np.zeros(count, np.int64)
        self._request_of_slot = np.full(slots, NO_SLOT)
        self._num_queued = count
        self._num_admitted = 0

    @property
    def num_waiting(self) -> int:
        """Requests that have not entered a slot yet."""
        return self._num_queued - self._num_admitted

    @property
    def num_free(self) -> int:
        """Slots without a request."""
        return int(np.count_nonzero(self._request_of_slot == NO_SLOT))

    @property
    def num_emitted(self) -> int:
        """Tokens emitted so far, over all requests."""
        return int(self._emitted.sum())

    def take(self, rows: int, width: int) -> PromptBatch:
        """Move waiting requests into free slots, in their order, as far as `rows` different prompts reach.

        `width` is the number of tokens of a prefill chunk.
        """
        slots = np.flatnonzero(self._request_of_slot == NO_SLOT)
        first = self._num_admitted
        window = self._prompt_ids[first : first + len(slots)]
        _, first_seen, source = np.unique(window, return_index=True, return_inverse=True)
        rank = np.argsort(np.argsort(first_seen))[source]
        beyond = np.flatnonzero(rank >= rows)
        taken = int(beyond[0]) if len(beyond) else len(window)
        requests = np.arange(first, first + taken)
        slots, rank = slots[:taken], rank[:taken]
        self._request_of_slot[slots] = requests
        self._num_admitted += taken
        prompts = requests[np.sort(first_seen[first_seen < taken])]
        chunks, lengths = self._prompt_chunks(prompts, rows, width)
        starts = range(0, taken, rows)
        return PromptBatch(
            chunks,
            lengths,
            [
                self._admission(requests[s : s + rows], slots[s : s + rows], rank[s : s + rows], rows)
                for s in starts
            ],
        )

    def record(self, chunk: Chunk) -> int:
        """Append what a chunk emitted to its requests, free the slots of those that ended and count these."""
        slots = np.flatnonzero(self._request_of_slot != NO_SLOT)
        requests, counts = self._request_of_slot[slots], np.asarray(chunk.num_emitted)[slots]
        row = np.repeat(np.arange(len(slots)), counts)
        column = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        target = requests[row], self._emitted[requests][row] + column
        self._tokens[target] = np.asarray(chunk.tokens)[slots[row], column]
        self._logprobs[target] = np.asarray(chunk.logprobs)[slots[row], column]
        self._emitted[requests] += counts
        ended = slots[~np.asarray(chunk.is_active)[slots]]
        self._request_of_slot[ended] = NO_SLOT
        return len(ended)

    def completions(self, version: int) -> list[Completion]:
        """Return one completion per request, in the order of the requests."""
        count = len(self._requests)
        last = self._tokens[np.arange(count), self._emitted - 1]
        reasons = np.where(np.isin(last, self._eos_token_ids), "stop", "length")
        reasons[~np.isfinite(self._logprobs).all(axis=1)] = "failed"
        return [
            Completion(
                request_id=request.id,
                tokens=tokens[:length],
                logprobs=logprobs[:length],
                finish_reason=reason,
                weight_version=version,
            )
            for request, tokens, logprobs, length, reason in zip(
                self._requests,
                self._tokens,
                self._logprobs,
                self._emitted.tolist(),
                reasons.tolist(),
                strict=True,
            )
        ]

    def _number_prompts(self) -> np.ndarray:
        numbers: dict[bytes, int] = {}
        bounds = zip(self._offsets[:-1].tolist(), self._offsets[1:].tolist(), strict=True)
        prompts = (self._flat[start:end].tobytes() for start, end in bounds)
        return np.fromiter(
            (numbers.setdefault(p, len(numbers)) for p in prompts), np.int64, len(self._lengths)
        )

    def _prompt_chunks(
        self, prompts: np.ndarray, rows: int, width: int
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the prompts without their last tokens in chunks `[rows, width]`, and their lengths."""
        lengths = np.zeros(rows, np.int32)
        lengths[: len(prompts)] = self._lengths[prompts] - 1
        offsets = np.zeros(rows, np.int64)
        offsets[: len(prompts)] = self._offsets[prompts]
        num_chunks = max(1, -(-int(lengths.max()) // width))
        columns = np.arange(num_chunks * width)
        is_token = columns < lengths[:, None]
        tokens = np.where(is_token, self._flat[np.where(is_token, offsets[:, None] + columns, 0)], 0)
        return np.split(tokens, num_chunks, axis=1), lengths

    def _admission(self, requests: np.ndarray, slots: np.ndarray, source: np.ndarray, rows: int) -> Admission:
        def padded(values: np.ndarray, fill: int = 0) -> np.ndarray:
            column = np.full((rows, *values.shape[1:]), fill, values.dtype)
            column[: len(values)] = values
            return column

        last = self._offsets[requests + 1] - 1
        columns: dict[str, Any] = {
            "slot": padded(slots.astype(np.int32), NO_SLOT),
            "source": padded(source.astype(np.int32)),
            "token": padded(self._flat[last]),
            "position": padded(self._lengths[requests] - 1),
            "budget": padded(self._budgets[requests]),
            "temperature": padded(self._temperatures[requests]),
            "key_words": padded(self._key_words[requests]),
        }
        return Admission(**columns)

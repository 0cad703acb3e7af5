"""What goes into an engine and what comes out: token ids, never text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from burnish.llm.sequence import FinishReason


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One completion asked for.

    The tokens drawn depend on the prompt, the temperature, the weights and `key_words` alone: not on the
    other requests, their order or the slot. Two requests with equal words draw the same noise.
    """

    id: int
    prompt_tokens: Sequence[int]
    max_new_tokens: int
    key_words: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    temperature: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Completion:
    """One completion: `tokens` (end-of-sequence included) and their `logprobs`, both of one length.

    `logprobs` are under the distribution that was sampled from, temperature included; greedy completions
    (temperature 0) carry the model's own. `finish_reason` is `stop` after an end-of-sequence token, `length`
    after `max_new_tokens`, `failed` when the request could not be completed or a logprob is not finite.
    """

    request_id: int
    tokens: np.ndarray
    logprobs: np.ndarray
    finish_reason: FinishReason
    weight_version: int

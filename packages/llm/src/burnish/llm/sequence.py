"""The one currency of training: a `Sample` is a tokenized text with what is known of each of its tokens.

Supervised stages make samples from records, reinforcement learning from completions; both become rows of a
`TokenBatch`. Everything here is numpy on the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int32

LOSS_WEIGHTS = "loss_weights"
"""The column every sample has: how much each token counts in the loss, any number from 0 on."""

TEMPERATURE = "temperature"
"""The column of sampled tokens that says what the logits were divided by; 0 stands for greedy, as does 1."""

FinishReason = Literal["stop", "length", "failed"]
"""How a text ended: by an end-of-sequence token, by running out of tokens, or not at all."""


class Part(NamedTuple):
    """A stretch of a sample's tokens with one author: `tokens[start:stop]`."""

    role: str
    """Who speaks: `system`, `user`, `assistant`, `tool`, or whatever a chat template knows."""

    start: int
    stop: int
    is_sampled: bool
    """Whether an engine drew these tokens; what a person, a tool or a data set wrote is not sampled."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A text in parts: tokens, one number (or array) per token and column, and facts about the whole.

    Entry t of a column belongs to `tokens[t]` given the tokens before it. The first token has nothing before
    it and is never trained on, whatever its weight says.
    """

    tokens: Int32[np.ndarray, " t"]
    parts: tuple[Part, ...]
    """In order, from the first token to the last without a gap."""

    columns: Mapping[str, Float32[np.ndarray, "t ..."]]
    prompt: str = ""
    completion: str = ""
    reward: float | None = None
    rewards: Mapping[str, float] = field(default_factory=dict)
    group_id: int = 0
    """The samples of one prompt share it, and whatever tells two prompts of a step apart differs in it."""

    sample_id: int | None = None
    """Its number among the samples of its step, which names its noise; None is its place in the batch."""

    trajectory: int | None = None
    """Samples with one number are pieces of one trajectory and count as one sequence; None is a whole."""

    status: FinishReason = "stop"
    weight_version: int = 0
    record: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Hold parts and columns to the tokens."""
        assert self.tokens.ndim == 1, "tokens of a sample are one row"
        assert LOSS_WEIGHTS in self.columns, "a sample says how much each of its tokens counts"
        length, stop = len(self.tokens), 0
        for column in self.columns.values():
            assert len(column) == length, "a column has an entry per token"
        assert self.columns[LOSS_WEIGHTS].min(initial=0) >= 0, "loss weights are 0 or more"
        assert self.total_weight < np.inf, "loss weights are finite"
        for part in self.parts:
            assert part.start == stop, "parts follow each other without a gap"
            stop = part.stop
        assert stop == length, "parts cover the tokens"

    def __len__(self) -> int:
        """Return the number of tokens, of all parts together."""
        return len(self.tokens)

    @property
    def loss_weights(self) -> Float32[np.ndarray, " t"]:
        """How much each token counts in the loss; 0 for the first, which nothing precedes."""
        weights = self.columns[LOSS_WEIGHTS].copy()
        weights[:1] = 0
        return weights

    @cached_property
    def total_weight(self) -> float:
        """The sum of the loss weights."""
        return float(self.columns[LOSS_WEIGHTS][1:].sum(dtype=np.float64))

    @property
    def sampled(self) -> Bool[np.ndarray, " t"]:
        """Where a token was drawn by an engine."""
        found = np.zeros(len(self), bool)
        for part in self.parts:
            found[part.start : part.stop] = part.is_sampled
        return found

    @property
    def num_sampled(self) -> int:
        """The number of tokens that an engine drew."""
        return sum(part.stop - part.start for part in self.parts if part.is_sampled)

    @property
    def num_trained_tokens(self) -> int:
        """The number of tokens that carry loss."""
        return int(np.count_nonzero(self.loss_weights))

    @property
    def prefix_length(self) -> int:
        """The tokens before the first that is sampled or carries loss: what samples of a prompt share."""
        counts = np.flatnonzero(self.sampled | (self.columns[LOSS_WEIGHTS] != 0))
        return int(counts[0]) if counts.size else len(self)


def make_sample(
    prompt_tokens: Sequence[int] | np.ndarray,
    completion_tokens: Sequence[int] | np.ndarray,
    completion_columns: Mapping[str, Sequence[float] | np.ndarray] | None = None,
    *,
    is_sampled: bool = False,
    **facts: Any,
) -> Sample:
    """Join a prompt and a completion into a sample that is trained on its completion.

    `completion_columns` have one entry per completion token and read 0 on the prompt; `loss_weights` among
    them replace the default of all ones. `is_sampled` says that an engine drew the completion. `facts` are
    the remaining fields of `Sample`.
    """
    num_prompt, num_tokens = len(prompt_tokens), len(prompt_tokens) + len(completion_tokens)
    tokens = np.zeros(num_tokens, np.int32)
    tokens[:num_prompt] = prompt_tokens
    tokens[num_prompt:] = completion_tokens
    columns = {LOSS_WEIGHTS: np.ones(len(completion_tokens)), **(completion_columns or {})}
    return Sample(
        tokens=tokens,
        parts=(
            Part("user", 0, num_prompt, is_sampled=False),
            Part("assistant", num_prompt, num_tokens, is_sampled=is_sampled),
        ),
        columns={name: _after_prompt(column, num_prompt, num_tokens) for name, column in columns.items()},
        **facts,
    )


def _after_prompt(
    column: Sequence[float] | np.ndarray, num_prompt: int, num_tokens: int
) -> Float32[np.ndarray, "t ..."]:
    values = np.asarray(column, np.float32)
    assert len(values) == num_tokens - num_prompt, "a completion column has one entry per completion token"
    whole = np.zeros((num_tokens, *values.shape[1:]), np.float32)
    whole[num_prompt:] = values
    return whole

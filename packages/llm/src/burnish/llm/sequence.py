"""The one currency of training: a `Sample` is a tokenised text with what is known of each of its tokens.

Supervised stages make samples from records, reinforcement learning from completions; both become rows of a
`TokenBatch`. Everything here is numpy on the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Int32

LOSS_MASK = "loss_mask"
"""The column every sample has: 1 on the tokens that are trained on, 0 elsewhere."""

SampleStatus = Literal["stop", "length", "failed"]
"""How a text ended: by an end-of-sequence token, by running out of tokens, or not at all."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A prompt with its completion: tokens, one number per token and column, and facts about the whole.

    Entry t of a column belongs to `tokens[t]` given the tokens before it. The first token has nothing before
    it and is never trained on, whatever its mask says.
    """

    tokens: Int32[np.ndarray, " t"]
    prompt_length: int
    columns: Mapping[str, Float32[np.ndarray, " t"]]
    prompt: str = ""
    completion: str = ""
    reward: float | None = None
    rewards: Mapping[str, float] = field(default_factory=dict)
    group: int = 0
    status: SampleStatus = "stop"
    weight_version: int = 0
    record: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Hold every column to the length of the tokens."""
        assert self.tokens.ndim == 1, "tokens of a sample are one row"
        assert LOSS_MASK in self.columns, "a sample says which of its tokens are trained on"
        assert all(column.shape == self.tokens.shape for column in self.columns.values())

    def __len__(self) -> int:
        """Return the number of tokens, prompt and completion together."""
        return len(self.tokens)

    @property
    def num_trained_tokens(self) -> int:
        """The number of tokens that carry loss."""
        return int(np.count_nonzero(self.columns[LOSS_MASK][1:]))


def make_sample(
    prompt_tokens: Sequence[int] | np.ndarray,
    completion_tokens: Sequence[int] | np.ndarray,
    completion_columns: Mapping[str, Sequence[float] | np.ndarray] | None = None,
    **facts: Any,
) -> Sample:
    """Join a prompt and a completion into a sample that is trained on its completion.

    `completion_columns` have one entry per completion token and read 0 on the prompt; a `loss_mask` among
    them replaces the default of all ones. `facts` are the remaining fields of `Sample`.
    """
    num_prompt, num_completion = len(prompt_tokens), len(completion_tokens)
    tokens = np.zeros(num_prompt + num_completion, np.int32)
    tokens[:num_prompt] = prompt_tokens
    tokens[num_prompt:] = completion_tokens
    columns = {LOSS_MASK: np.ones(num_completion), **(completion_columns or {})}
    return Sample(
        tokens=tokens,
        prompt_length=num_prompt,
        columns={name: _after_prompt(column, num_prompt, num_completion) for name, column in columns.items()},
        **facts,
    )


def _after_prompt(
    column: Sequence[float] | np.ndarray, num_prompt: int, num_completion: int
) -> Float32[np.ndarray, " t"]:
    assert len(column) == num_completion, "a completion column has one entry per completion token"
    whole = np.zeros(num_prompt + num_completion, np.float32)
    whole[num_prompt:] = column
    return whole

"""A group: the completions of one prompt, which are worth something only beside each other."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from burnish.llm.sequence import Sample
from burnish.platform.errors import ComponentError


@dataclass(frozen=True)
class Group:
    """All completions of one prompt in one rollout; `group_id` is its place among the rollout's prompts."""

    group_id: int
    samples: tuple[Sample, ...]

    @property
    def scored(self) -> tuple[Sample, ...]:
        """The samples that have a reward; one that failed takes part in no baseline and in no update."""
        return tuple(sample for sample in self.samples if sample.reward is not None)

    @property
    def rewards(self) -> Float[np.ndarray, " g"]:
        """The rewards of the scored samples, in their order."""
        return np.array([sample.reward for sample in self.scored], np.float64)


def samples_of(groups: Iterable[Group]) -> Iterator[Sample]:
    """Yield every sample of every group."""
    for group in groups:
        yield from group.samples


def require_whole(groups: Sequence[Group], num_prompts: int, samples_per_prompt: int) -> None:
    """Raise ComponentError where a rollout has not returned what it was asked for.

    A completion that is not there, or lies in a group of another number, would be learned from by no update.
    """
    numbers = [group.group_id for group in groups]
    sizes = {len(group.samples) for group in groups}
    if numbers != list(range(num_prompts)) or sizes != {samples_per_prompt}:
        raise ComponentError(
            f"rollout: it returned {sum(len(group.samples) for group in groups)} completions in groups "
            f"{numbers}; it was asked for {samples_per_prompt} of each of {num_prompts} prompts, in groups "
            f"numbered from 0"
        )


def rows(groups: Iterable[Group]) -> Iterator[dict[str, Any]]:
    """Yield one readable row per sample: what was asked, what was written, and what it was worth."""
    for sample in samples_of(groups):
        yield {
            "group": sample.group_id,
            "prompt": sample.prompt,
            "completion": sample.completion,
            "reward": sample.reward,
            "rewards": dict(sample.rewards),
            "status": sample.status,
            "weight_version": sample.weight_version,
        }

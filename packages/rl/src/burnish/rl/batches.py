"""From kept groups to the batches of a rollout's updates; every batch has the same shape."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from burnish.llm.aggregation import Aggregation
from burnish.llm.batch import TokenBatch, make_batch
from burnish.llm.objective import Objective, columns_for
from burnish.llm.sequence import Sample
from burnish.rl.advantages.protocol import TokenAdvantages
from burnish.rl.groups import Group


@dataclass(frozen=True, kw_only=True)
class BatchLayout:
    """The shape of an update's batch: `num_rows` completions in rows of `length` tokens."""

    prompts_per_step: int
    samples_per_prompt: int
    updates_per_rollout: int
    length: int
    max_new_tokens: int
    pad_token_id: int
    aggregation: Aggregation

    @property
    def completions_per_step(self) -> int:
        """Completions that one rollout asks for."""
        return self.prompts_per_step * self.samples_per_prompt

    @property
    def num_rows(self) -> int:
        """Rows of one update's batch."""
        return self.prompts_per_step * self.samples_per_prompt // self.updates_per_rollout

    def update_of(self, group: Group) -> int:
        """Return which of the rollout's updates a group belongs to, by its place among the prompts."""
        return group.group_id * self.updates_per_rollout // self.prompts_per_step


def make_batches(
    layout: BatchLayout,
    groups: Sequence[Group],
    advantages: Sequence[Sequence[TokenAdvantages]],
    objective: Objective,
) -> Iterator[TokenBatch]:
    """Yield one batch per update that has samples; those left out are padding rows of weight 0.

    A batch carries the columns that the objective reads, of the samples' own and `advantages`. It is an
    optimizer step of its own and is normalized by its own trained tokens.
    """
    for update in range(layout.updates_per_rollout):
        samples = [
            _with_advantages(sample, values)
            for group, of_group in zip(groups, advantages, strict=True)
            if layout.update_of(group) == update
            for sample, values in zip(group.scored, of_group, strict=True)
        ]
        if samples:
            yield make_batch(
                samples,
                num_rows=layout.num_rows,
                length=layout.length,
                pad_token_id=layout.pad_token_id,
                aggregation=layout.aggregation,
                columns=columns_for(objective, samples),
                max_length=layout.max_new_tokens,
            )


def _with_advantages(sample: Sample, values: TokenAdvantages) -> Sample:
    return replace(sample, columns={**sample.columns, "advantages": values})

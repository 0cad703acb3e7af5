"""The slot `rollout`: from prompts to groups of completions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from burnish.llm.tokenizer import Tokenizer
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.data.source import Record
from burnish.rl.groups import Group
from burnish.sample.engine import Engine


class Rollout(Protocol):
    """A workflow over an engine."""

    def __call__(
        self, engine: Engine, records: Sequence[Record], samples_per_prompt: int, step: int
    ) -> list[Group]:
        """Return one group per record, none of them rewarded yet."""
        ...


@dataclass(frozen=True, kw_only=True)
class RolloutContext:
    """What a `rollout` component may use."""

    tokenizer: Tokenizer
    """What prompts are rendered and completions are read with."""

    max_new_tokens: int
    """Longest completion in tokens, the end-of-sequence token included."""

    temperature: float = 1.0
    """Sampling temperature."""

    jax: JaxConfig = field(default_factory=JaxConfig)
    """Devices and number formats of the run."""

    seed: int = 0
    """The run's seed: with the stage's index, the step, a purpose and an id it names every random key."""

    stage: str = ""
    """The block of the chain that learns."""

    stage_index: int = 1
    """The place of the stage in the chain, from 1."""

    artifacts: Artifacts = field(default_factory=Artifacts)
    """What stages before have made."""


class RolloutComponent(Protocol):
    """Options of a rollout."""

    def build(self, context: RolloutContext, /) -> Rollout:
        """Return the rollout."""
        ...

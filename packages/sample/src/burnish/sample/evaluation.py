"""What an evaluation is: the same held-out problems each time, solved with an engine's weights."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from burnish.llm.tokenizer import Tokenizer
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.data.source import DataComponent
from burnish.platform.statistics.tracker import StatsTracker
from burnish.sample.engine import Engine
from burnish.sample.rewards.protocol import RewardContext


@runtime_checkable
class SampleWriter(Protocol):
    """Where rows of samples go, as `StageRun.samples` returns it."""

    def write(self, step: int, rows: Iterable[Mapping[str, Any]], *, shown: Sequence[str] = ()) -> None:
        """Append the rows of one step, whose columns `shown` are worth a glance."""
        ...


def _unheard(line: str) -> None:
    del line


@dataclass(frozen=True, kw_only=True)
class EvaluationContext:
    """What an `evaluation` component may use."""

    data: DataComponent
    """Where the problems come from."""

    tokenizer: Tokenizer
    """What prompts are rendered and completions are read with."""

    positions: int | None = None
    """Tokens that the model has positions for, where that is known."""

    say: Callable[[str], None] = _unheard
    """Takes a line that the user should read."""

    writer: SampleWriter | None = None
    """Where the rows of samples go, where they go anywhere."""

    jax: JaxConfig = field(default_factory=JaxConfig)
    """Devices and number formats of the run."""

    seed: int = 0
    """The run's seed."""

    stage: str = ""
    """The block of the chain that is evaluated in."""

    artifacts: Artifacts = field(default_factory=Artifacts)
    """What stages before have made."""

    @property
    def for_rewards(self) -> RewardContext:
        """What the evaluation's rewards may use."""
        return RewardContext(
            tokenizer=self.tokenizer,
            jax=self.jax,
            seed=self.seed,
            stage=self.stage,
            artifacts=self.artifacts,
        )


class EvaluationComponent(Protocol):
    """Options of an evaluation."""

    @property
    def split(self) -> str:
        """The split of the data that is evaluated."""
        ...

    def build(self, context: EvaluationContext, /) -> "Evaluation":
        """Return the evaluation; data without the split to evaluate makes it one that is never due."""
        ...


@runtime_checkable
class Evaluation(Protocol):
    """What a loop evaluates with."""

    @property
    def num_problems(self) -> int:
        """The number of problems solved each time; without any it is never due."""
        ...

    @property
    def max_tokens(self) -> int:
        """Room an engine needs for the longest prompt and its completion, in tokens; 0 without problems."""
        ...

    def due(self, step: int, last: int) -> bool:
        """Whether `step` of `last` is evaluated; 0 and `last` are, so that stages can be compared."""
        ...

    def __call__(self, engine: Engine, step: int) -> StatsTracker:
        """Evaluate, write the samples as rows of `step`, and return the statistics under `eval/`."""
        ...

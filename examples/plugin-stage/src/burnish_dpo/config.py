"""The components of this plugin as plain data; nothing here imports jax, which is what `build` is for."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from burnish.platform import Metric, shared, slot

if TYPE_CHECKING:
    from burnish.platform import DataComponent, DataContext, StageRun
    from burnish.sample import EngineComponent
    from burnish_dpo.arithmetic import PairSource
    from burnish_dpo.stage import DPOStage

METRICS = (
    Metric(
        name="dpo/accuracy",
        meaning="Share of pairs whose chosen text has become likelier than the rejected one.",
        label="preferred",
    ),
    Metric(name="dpo/margin", meaning="Nats by which it has become likelier, measured by the reference."),
)
"""What the objective reports beside its loss; one with a label is on the console."""


@dataclass(frozen=True, kw_only=True)
class DPO:
    """Direct preference optimization (https://arxiv.org/abs/2305.18290) of the model that arrives."""

    provides: ClassVar[frozenset[str]] = frozenset({"model"})

    model: Any = shared("model", "tiny")
    tokenizer: Any = shared("tokenizer", "auto")
    data: "DataComponent" = shared("data", "arithmetic")
    engine: "EngineComponent" = shared("engine", "in_process")
    evaluation: Any = shared("evaluation", "greedy")
    export: Any = shared("export", "huggingface")

    pairs: "DataComponent" = slot("data", "arithmetic_pairs")
    """Records with `prompt`, `chosen` and `rejected`; `data` is what is evaluated."""
    split: str = "prompts"
    """The split of `pairs` that is trained on."""
    steps: Annotated[int, Field(ge=1)] = 500
    """Optimizer steps."""
    pairs_per_step: Annotated[int, Field(ge=1)] = 32
    """Pairs in the batch of one optimizer step."""
    max_length: Annotated[int, Field(ge=8)] = 2048
    """Tokens of a prompt and both its completions; a longer pair is left out, and counted."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """How closely the policy stays to the reference, the weights that arrive: less with a smaller one."""
    optimizer: Any = slot("optimizer", "adamw")
    training: Any = slot("training", "jax")

    def check(self, context: Any) -> None:
        """Refuse pairs that cannot be read and a batch that cannot be trained, before anything is written."""
        from burnish.sample import Workbench

        Workbench.check(self, context, num_rows=self.pairs_per_step, split=self.split, data=self.pairs)

    def build(self, run: "StageRun", **shared_components: Any) -> "DPOStage":
        """Return the stage over this run; loads nothing yet."""
        from burnish_dpo.stage import DPOStage

        return DPOStage(config=self, stage_run=run, shared=shared_components)


@dataclass(frozen=True, kw_only=True)
class ArithmeticPairs:
    """Pairs of arithmetic: each right demonstration, and a wrong digit without any work."""

    problems: "DataComponent" = slot("data", "arithmetic")
    """Where the demonstrations come from."""

    def splits(self) -> tuple[str, ...]:
        """Return the one split there is."""
        return ("prompts",)

    def build(self, context: "DataContext") -> "PairSource":
        """Return the pairs."""
        from burnish_dpo.arithmetic import pair_source

        return pair_source(self.problems, context)

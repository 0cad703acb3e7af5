"""Options of the `sft` stage; without jax, so that keys are checked before anything loads."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from burnish.platform.configuration.option_types import check_options
from burnish.platform.configuration.ranges import Count, PairCount
from burnish.platform.configuration.slot_fields import shared, slot

if TYPE_CHECKING:
    from burnish.llm.bundle import ModelComponent
    from burnish.llm.export import ExportComponent
    from burnish.llm.objective import ObjectiveComponent
    from burnish.llm.optimizer import OptimizerComponent
    from burnish.llm.tokenizer import TokenizerComponent
    from burnish.llm.training import TrainingComponent
    from burnish.platform.data.source import DataComponent
    from burnish.platform.runs.stage import CheckContext, Stage
    from burnish.platform.runs.stage_run import StageRun
    from burnish.sample.engine import EngineComponent
    from burnish.sample.evaluation import EvaluationComponent


DEFAULT_POSITION = 10
"""Where `sft` stands in the chain of `train` alone: it begins."""


@dataclass(frozen=True, kw_only=True)
class SFT:
    """Supervised next-token training on demonstrations: the loss is on the completion alone."""

    provides: ClassVar[frozenset[str]] = frozenset({"model"})

    model: "ModelComponent" = shared("model", "tiny")
    tokenizer: "TokenizerComponent" = shared("tokenizer", "auto")
    data: "DataComponent" = shared("data", "arithmetic")
    engine: "EngineComponent" = shared("engine", "in_process")
    evaluation: "EvaluationComponent" = shared("evaluation", "greedy")
    export: "ExportComponent" = shared("export", "huggingface")

    steps: Count = 1000
    """Optimizer steps."""
    rows_per_step: Count = 32
    """Demonstrations in the batch of one optimizer step."""
    max_length: PairCount = 2048
    """Tokens of prompt and completion together; what is beyond is cut off, and counted, as are records that
    are left out because their prompt leaves no room. The model's positions bound it too."""
    split: str = "demonstrations"
    """The split of `data` that is trained on."""
    aggregation: Literal["token_mean", "sequence_mean", "constant"] = "token_mean"
    """How per-token losses become one: the mean over all trained tokens of the batch, the mean over rows of
    their means, or the sum divided by trained sequences times `max_length`."""
    max_skipped_updates: Count = 10
    """Stop after this many updates in a row whose gradient is not finite."""
    objective: "ObjectiveComponent" = slot("objective", "cross_entropy")
    optimizer: "OptimizerComponent" = slot("optimizer", "adamw")
    training: "TrainingComponent" = slot("training", "jax")

    def __post_init__(self) -> None:
        """Refuse counts that train nothing."""
        check_options(self)

    def check(self, context: "CheckContext") -> None:
        """Refuse data that cannot be read, and a model or a batch that cannot be trained."""
        from burnish.llm.received import check_training
        from burnish.platform.data.source import DataContext, build_data

        if context.can_build(self.data):
            build_data(self.data, DataContext(split=self.split))
        check_training(
            self.training, self.model, self.tokenizer, num_rows=self.rows_per_step, context=context
        )

    def build(self, run: "StageRun", **shared_components: Any) -> "Stage":
        """Return the stage over this run; loads nothing yet."""
        from burnish.sft.stage import SFTStage

        return SFTStage(config=self, stage_run=run, shared=shared_components)

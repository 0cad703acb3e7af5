"""The `eval` stage as plain data."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from burnish.platform.configuration.slot_fields import shared

if TYPE_CHECKING:
    from burnish.llm.bundle import ModelComponent
    from burnish.llm.tokenizer import TokenizerComponent
    from burnish.platform.data.source import DataComponent
    from burnish.platform.runs.stage import CheckContext
    from burnish.platform.runs.stage_run import StageRun
    from burnish.sample.engine import EngineComponent
    from burnish.sample.evaluation import EvaluationComponent
    from burnish.sample.stage import EvalStage


@dataclass(frozen=True, kw_only=True)
class Eval:
    """The `eval` stage: evaluate the model that arrives, write one row, pass it on unchanged."""

    model: "ModelComponent" = shared("model", "tiny")
    """The model, where no earlier stage hands one over."""

    tokenizer: "TokenizerComponent" = shared("tokenizer", "auto")
    """Text to tokens and back."""

    data: "DataComponent" = shared("data", "arithmetic")
    """Where the problems come from."""

    engine: "EngineComponent" = shared("engine", "in_process")
    """What completes the prompts."""

    evaluation: "EvaluationComponent" = shared("evaluation", "greedy")
    """Which problems, and how completions are scored."""

    def check(self, context: "CheckContext") -> None:
        """Refuse a model that cannot be read, and a split that the data does not have."""
        from burnish.llm.received import check_model
        from burnish.sample.stage import require_split

        check_model(self.model, self.tokenizer, context)
        if context.can_build(self.data):
            require_split(self.evaluation, self.data)

    def build(self, run: "StageRun", **shared_components: Any) -> "EvalStage":
        """Return the stage over the components of its shared fields."""
        from burnish.sample.stage import EvalStage

        return EvalStage(run, shared_components)

"""What a stage samples with: an engine for the model it received, and the evaluation of its samples."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from burnish.llm.received import ReceivedModel
from burnish.llm.token_limit import positions_of
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.conformance import conforming
from burnish.platform.data.source import DataComponent
from burnish.platform.runs.stage_run import StageRun
from burnish.sample.engine import Engine, EngineComponent, EngineContext, EngineLimits
from burnish.sample.evaluation import Evaluation, EvaluationComponent, EvaluationContext


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """The components of a stage that samples, and what is built from them when it is asked for."""

    received: ReceivedModel
    data: DataComponent
    engine: EngineComponent
    evaluation: EvaluationComponent

    @classmethod
    def of(cls, run: StageRun, artifacts: Artifacts, shared: Mapping[str, Any]) -> "Workbench":
        """Return the workbench of a stage over its shared components, by slot."""
        received = ReceivedModel(
            run=run,
            artifacts=artifacts,
            model=shared["model"],
            tokenizer=shared["tokenizer"],
            export=shared.get("export"),
        )
        return cls(
            received=received, data=shared["data"], engine=shared["engine"], evaluation=shared["evaluation"]
        )

    @cached_property
    def evaluator(self) -> Evaluation:
        """The evaluation, ready to be called with an engine."""
        run = self.received.run
        context = EvaluationContext(
            data=self.data,
            tokenizer=self.received.bundle.tokenizer,
            positions=positions_of(self.received.bundle.model),
            say=run.say,
            writer=run.samples("eval"),
            jax=run.jax,
            seed=run.seed,
            stage=run.name,
            artifacts=self.received.artifacts,
        )
        conforming("evaluation", self.evaluation, self.evaluation, EvaluationComponent)
        conforming("data", self.data, self.data, DataComponent)
        evaluation = conforming("evaluation", self.evaluation, self.evaluation.build(context), Evaluation)
        if not evaluation.num_problems:
            offered = ", ".join(self.data.splits())
            run.say(f"no evaluation: the data has no split '{self.evaluation.split}', only {offered}")
        return evaluation

    def make_engine(self, max_tokens: int = 0) -> Engine:
        """Return an engine with room for `max_tokens` of prompt and completion, and for the evaluation's."""
        received = self.received
        context = EngineContext(
            model=received.bundle.model,
            tokenizer=received.bundle.tokenizer,
            mesh=received.run.mesh,
            limits=EngineLimits(max_tokens=max(max_tokens, self.evaluator.max_tokens, 1)),
            jax=received.run.jax,
            artifacts=received.artifacts,
        )
        return conforming("engine", self.engine, self.engine.build(context), Engine)

"""What a stage works with: the model it received, its records, an engine, and the evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from burnish.llm.chat import render
from burnish.llm.received import ReceivedModel, check_training
from burnish.llm.token_limit import positions_of
from burnish.llm.training import TrainingBackend, judged_weights
from burnish.llm.versioned_weights import Weights
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.conformance import built, conforming
from burnish.platform.data.order import RecordStream
from burnish.platform.data.source import DataComponent, DataContext, DataSource, Record, Source, build_data
from burnish.platform.device.randomness import KeyWords, Purpose, key_words
from burnish.platform.errors import DataError
from burnish.platform.runs.stage import CheckContext
from burnish.platform.runs.stage_run import StageRun
from burnish.sample.engine import Engine, EngineComponent, EngineContext, EngineLimits
from burnish.sample.evaluation import Evaluation, EvaluationComponent, EvaluationContext

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """The shared components of a stage, and what is built from them when it is asked for.

    A stage that trains declares the slots `model`, `tokenizer`, `data`, `engine`, `evaluation` and `export`;
    one that does not needs no `export`. Whatever a component of somebody else's builds is held against its
    slot's protocol: `ComponentError` names the component and the wheel it comes from.
    """

    received: ReceivedModel
    """The model of the stage before, or of the `model` component where there is none.

    `received.bundle` has the model and its `tokenizer`; `received.trainer(training, optimizer, total_steps)`
    returns a `TrainingBackend` over its weights; `received.training_context(optimizer, total_steps)` is what
    `training.plan` asks for; `received.hand_over(training)` exports what was trained and returns the
    artifacts for the next stage; `received.weights()` are the weights of a stage that trains nothing.
    """

    data: DataComponent
    """Where the records come from."""

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

    @property
    def positions(self) -> int | None:
        """The tokens that the model has positions for, None where its config does not say."""
        return positions_of(self.received.bundle.model)

    @staticmethod
    def check(
        config: Any, context: CheckContext, *, num_rows: int, split: str, data: DataComponent | None = None
    ) -> None:
        """Raise what is known before a run begins: for the `check` of a stage's options that train.

        `config` has the fields `model`, `tokenizer`, `training` and `data`; `num_rows` are the rows of an
        optimizer step. `data`, where it is given, is read in the place of `config.data`.
        """
        component = config.data if data is None else data
        if context.can_build(component):
            build_data(component, DataContext(split=split))
        check_training(config.training, config.model, config.tokenizer, num_rows=num_rows, context=context)

    def records(self, split: str, data: DataComponent | None = None) -> DataSource:
        """Return the records of a split of `data`, or of the shared data where it is None."""
        component = self.data if data is None else data
        return build_data(component, DataContext(split=split, artifacts=self.received.artifacts))

    def render(self, record: Record) -> tuple[list[int], list[int]]:
        """Return the ids of a record's prompt and of its completion, the end token included.

        `prompt` or `messages` go through the chat template where the tokenizer has one. Raises `DataError`
        for a record without a text to learn.
        """
        return render(self.received.bundle.tokenizer, record)

    def shuffled(self, items: Source[Item]) -> RecordStream[Item]:
        """Return an endless pass over items, in an order of this stage's own: `take(count)` the next ones.

        Handed to `StageRun.steps` it goes on where a checkpoint left it. `items` have a length, an index and
        a `fingerprint`, by which a resumed run knows them again.
        """
        return RecordStream(items, self.received.run.data_seed)

    def key_words(self, step: int) -> KeyWords:
        """Return the words that name the noise of a step's update, which `training.step` asks for."""
        run = self.received.run
        return key_words(run.seed, run.index, step, Purpose.TRAINING, 0)

    @staticmethod
    def judged(training: TrainingBackend) -> Weights:
        """Return what the stage is evaluated by and hands over: an average of weights, or the weights."""
        return judged_weights(training)

    @cached_property
    def evaluator(self) -> Evaluation:
        """The evaluation, ready to be called with an engine."""
        run = self.received.run
        context = EvaluationContext(
            data=self.data,
            tokenizer=self.received.bundle.tokenizer,
            positions=self.positions,
            say=run.say,
            writer=run.samples("eval"),
            jax=run.jax,
            seed=run.seed,
            stage=run.name,
            artifacts=self.received.artifacts,
        )
        conforming("evaluation", self.evaluation, self.evaluation, EvaluationComponent)
        conforming("data", self.data, self.data, DataComponent)
        evaluation = built("evaluation", self.evaluation, Evaluation, context)
        if not evaluation.num_problems:
            run.say(f"no evaluation: {self._without_problems()}")
        return evaluation

    def _without_problems(self) -> str:
        """Return why there is nothing to evaluate, in the data's own words where it lacks the split."""
        try:
            self.records(self.evaluation.split)
        except DataError as error:
            return str(error)
        return f"evaluation.split={self.evaluation.split} has no problem to solve"

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
        return built("engine", self.engine, Engine, context)

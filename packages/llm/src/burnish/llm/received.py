"""The model that a stage receives: found, trained over, and handed on.

It is the export of the stage before, or the `model` component where there is none. Stages differ in what they
do with it, not in how they come by it.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jax

from burnish.llm.attention_choice import decisions_for
from burnish.llm.bundle import Bundle, ModelComponent, ModelContext, load_bundle
from burnish.llm.export import Export, ExportComponent, ExportContext, write_weights
from burnish.llm.optimizer import OptimizerComponent
from burnish.llm.sharding import lying, replicated
from burnish.llm.target import platform
from burnish.llm.tokenizer import TokenizerComponent
from burnish.llm.training import (
    Exports,
    TrainingBackend,
    TrainingComponent,
    TrainingContext,
    WritesUpdates,
    judged_weights,
)
from burnish.llm.versioned_weights import Weights
from burnish.platform.activity import busy
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.conformance import built, conforming
from burnish.platform.configuration.registry import Provider, provider
from burnish.platform.errors import placed
from burnish.platform.runs.found_components import record_found
from burnish.platform.runs.stage import CheckContext
from burnish.platform.runs.stage_run import StageRun

MODEL = "model"
"""The name of the artifact that holds a model directory."""


def check_training(
    training: TrainingComponent,
    model: ModelComponent,
    tokenizer: TokenizerComponent,
    *,
    num_rows: int,
    context: CheckContext,
) -> None:
    """Raise ConfigError where a stage could not train its model on batches of `num_rows` rows.

    The model is of the kind that `model` builds, whichever stage hands it over; nobody looks at one that
    waits for an artifact.
    """
    conforming("training", training, training, TrainingComponent)
    bundle = check_model(model, tokenizer, context)
    with placed("training"):
        training.check(num_rows, context.jax.mesh, None if bundle is None else lambda: bundle.model)


def check_model(model: ModelComponent, tokenizer: TokenizerComponent, context: CheckContext) -> Bundle | None:
    """Return the model that `model` builds; a BurnishError says where its files cannot be used.

    None where it waits for an artifact. One that an earlier stage hands over is read when it is there.
    """
    if not (context.can_build(model) and context.can_build(tokenizer)):
        return None
    bundle = load_bundle(model, ModelContext(tokenizer=tokenizer, jax=context.jax))
    bundle.check_params()
    return bundle


@dataclass(frozen=True, kw_only=True)
class ReceivedModel:
    """The components that a model is made of, and what is built from them when it is asked for."""

    run: StageRun
    model: ModelComponent
    tokenizer: TokenizerComponent
    export: ExportComponent | None = None
    """How the trained model is handed on; None where nothing is trained."""
    artifacts: Artifacts = field(default_factory=Artifacts)

    @cached_property
    def bundle(self) -> Bundle:
        """The model with its tokenizer; parameters are read when they are asked for."""
        received = self.artifacts.get(MODEL)
        model = self.model if received is None else self.model.handed_over(str(received))
        context = ModelContext(
            tokenizer=self.tokenizer, jax=self.run.jax, seed=self.run.seed, artifacts=self.artifacts
        )
        bundle = load_bundle(model, context)
        found = dict.fromkeys([*bundle.components, *self._kernels(bundle)])
        record_found(self.run.root, self.run.name, found)
        return bundle

    def _kernels(self, bundle: Bundle) -> list[Provider]:
        """Tell what computes the model's attention, and why nothing faster does, and return who provides it.

        Where none is named the length of a batch alone decides on a CPU, and nothing is looked into.
        """
        is_named = any(found.slot == "attention" for found in bundle.components)
        if platform() == "cpu" and not is_named:
            return []
        decisions = decisions_for(bundle.model, self.run.jax.compute_dtype)
        for decision in decisions:
            self.run.tell(str(decision))
        return [provider("attention", decision.name) for decision in decisions]

    def describe(self) -> str:
        """Return where the model comes from and how large it is."""
        leaves = jax.tree.leaves(self.bundle.model.abstract(self.run.jax.compute_dtype))
        return f"{self.bundle.source}, {sum(leaf.size for leaf in leaves):,} parameters"

    def weights(self) -> Weights:
        """Return the parameters as they arrive, version 0, for an engine; nothing of them is kept here.

        Each device has all of them, as the engine of this process wants them: it takes the very buffers.
        """
        bundle, dtype = self.bundle, self.run.jax.compute_dtype

        def write(directory: Path, params: Any) -> Path:
            return write_weights(directory, params, bundle.model, bundle.tokenizer, dtype)

        everywhere = replicated(self.run.mesh)
        like = jax.tree.map(lambda leaf: lying(leaf, everywhere), bundle.model.abstract(dtype))
        return Weights(0, bundle.load(like), write)

    def training_context(self, optimizer: OptimizerComponent, total_steps: int) -> TrainingContext:
        """Return what a training backend may be built from; nothing is loaded yet."""
        bundle = self.bundle
        return TrainingContext(
            model=bundle.model,
            load=bundle.load,
            optimizer=optimizer,
            total_steps=total_steps,
            mesh=self.run.mesh,
            jax=self.run.jax,
            tokenizer=bundle.tokenizer,
            artifacts=self.artifacts,
            seed=self.run.seed,
            origin=bundle.origin,
        )

    def trainer(
        self, training: TrainingComponent, optimizer: OptimizerComponent, total_steps: int
    ) -> TrainingBackend:
        """Return the backend over the parameters as they arrive; ComponentError where it is none.

        What writes the trained model is built as well: that it cannot is not to be learned at the end.
        """
        _ = self.writer
        context = self.training_context(optimizer, total_steps)
        with self.run.span("load"):
            return built("training", training, TrainingBackend, context)

    @cached_property
    def writer(self) -> Export:
        """What hands the trained model on."""
        assert self.export is not None, "a stage that trains has an `export`"
        context = ExportContext(jax=self.run.jax, artifacts=self.artifacts)
        return built("export", self.export, Export, context)

    def hand_over(self, training: TrainingBackend) -> Artifacts:
        """Export the trained model into the stage's directory and return it as the `model` artifact.

        What was trained beside it lies in `adapter`, next to it.
        """
        directory = self.run.stage_directory / "export"
        if self.run.is_primary:
            with busy("export"):
                exports = isinstance(training, Exports)
                params = training.exported() if exports else jax.device_get(judged_weights(training).tree)
                directory = self.writer(directory, self.bundle.model, params, self.bundle.tokenizer)
                if isinstance(training, WritesUpdates):
                    training.write_updates(self.run.stage_directory / "adapter")
        return self.artifacts.including(MODEL, directory)

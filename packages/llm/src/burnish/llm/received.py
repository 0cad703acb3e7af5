"""The model that a stage receives: found, trained over, and handed on.

It is the export of the stage before, or the `model` component where there is none. Stages differ in what they
do with it, not in how they come by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jax

from burnish.llm.bundle import Bundle, load_bundle
from burnish.llm.train_step import StateLayout
from burnish.llm.training import TrainingBackend, check_rows, training_footprint
from burnish.platform.runs.stage import Artifacts
from burnish.platform.runs.stage_run import StageRun

MODEL = "model"
"""The name of the artifact that holds a model directory."""


@dataclass(frozen=True, kw_only=True)
class ReceivedModel:
    """The components that a model is made of, and what is built from them when it is asked for."""

    run: StageRun
    model: Any
    tokenizer: Any
    export: Any = None
    artifacts: Artifacts = field(default_factory=Artifacts)

    @cached_property
    def bundle(self) -> Bundle:
        """The model with its tokenizer; parameters are read when they are asked for."""
        received = self.artifacts.get(MODEL)
        model = self.model if received is None else self.model.handed_over(str(received))
        return load_bundle(model, self.tokenizer, self.run.jax, self.run.seed)

    def make_training(self, training: Any, optimizer: Any, total_steps: int) -> TrainingBackend:
        """Return the backend over the received parameters, with a fresh optimizer."""
        return training.build(
            model=self.bundle.model,
            params=self.bundle.params,
            optimizer=optimizer,
            total_steps=total_steps,
            mesh=self.run.mesh,
            jax_config=self.run.jax,
            tokenizer=self.bundle.tokenizer,
        )

    def hand_over(self, training: TrainingBackend) -> Artifacts:
        """Export the trained model into the stage's directory and return it as the `model` artifact."""
        write = self.export.build(self.run.jax)
        with self.run.span("export"):
            path: Path = write(
                self.run.stage_directory / "export",
                self.bundle.model,
                jax.device_get(training.weights()),
                self.bundle.tokenizer,
            )
        return self.artifacts.including(MODEL, path)

    def plan(
        self, training: Any, optimizer: Any, total_steps: int, *, num_rows: int, length: int, columns: int
    ) -> Mapping[str, int | float | str]:
        """Return the arithmetic of one update's batch and the bytes of the state; allocates nothing."""
        mesh = self.run.mesh
        shards = mesh.shape["dp"] * mesh.shape["fsdp"]
        micro = check_rows(num_rows, training.micro_batch_rows, shards)
        layout = StateLayout(
            model=self.bundle.model,
            optimizer=optimizer,
            total_steps=total_steps,
            param_dtype=self.run.jax.param_dtype,
            compute_dtype=self.run.jax.compute_dtype,
            mesh=mesh,
        )
        footprint = training_footprint(layout, num_rows=num_rows, length=length, num_columns=columns)
        return {
            "model": self.bundle.source,
            "devices": mesh.size,
            "optimizer steps": total_steps,
            "rows per update": f"{num_rows} = {num_rows // micro} x {micro // shards} x {shards} devices",
            "tokens per row": length,
            "tokens per update": num_rows * length,
            **footprint,
        }

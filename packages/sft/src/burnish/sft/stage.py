"""The `sft` stage: builds what the loop needs from its config, runs it, and hands the model on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from burnish.llm.batch import TokenBatch, round_up_rows
from burnish.llm.limits import SkippedUpdates
from burnish.llm.objective import ObjectiveContext, build_objective, columns_of
from burnish.llm.work import update_flops, work_plan
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.counted import counted
from burnish.platform.runs.stage_run import StageRun
from burnish.sample.evaluation_work import evaluation_flops
from burnish.sample.workbench import Workbench
from burnish.sft.config import SFT
from burnish.sft.formats import Demonstrations, encode, told
from burnish.sft.loop import run_sft

LENGTH_MULTIPLE = 8
"""Rows are padded to a multiple of this many tokens."""


@dataclass(frozen=True, kw_only=True)
class SFTStage:
    """Supervised fine-tuning of the model that arrives."""

    config: SFT
    stage_run: StageRun
    shared: Mapping[str, Any]

    def run(self, artifacts: Artifacts) -> Artifacts:
        """Train, export, and return the export as the model of the next stage."""
        config, run = self.config, self.stage_run
        bench = Workbench.of(run, artifacts, self.shared)
        received = bench.received
        demonstrations = self._demonstrations(bench)
        self._announce(bench, demonstrations)
        training = received.trainer(config.training, config.optimizer, config.steps)
        run_sft(
            run,
            training=training,
            demonstrations=bench.shuffled(demonstrations),
            objective=build_objective(config.objective, ObjectiveContext(jax=run.jax, artifacts=artifacts)),
            engine=bench.make_engine(),
            evaluation=bench.evaluator,
            steps=config.steps,
            rows_per_step=config.rows_per_step,
            length=padded(demonstrations),
            pad_token_id=received.bundle.tokenizer.pad_token_id,
            aggregation=config.aggregation,
            max_length=config.max_length,
            skipped=SkippedUpdates.of(run, config.max_skipped_updates),
        )
        return received.hand_over(training)

    def plan(self) -> Mapping[str, int | float | str]:
        """Return what a run would do: batch arithmetic, parameters, bytes."""
        config = self.config
        bench = Workbench.of(self.stage_run, Artifacts(), self.shared)
        received = bench.received
        demonstrations = self._demonstrations(bench)
        objective = build_objective(config.objective, ObjectiveContext(jax=self.stage_run.jax))
        length = padded(demonstrations)
        context = received.training_context(config.optimizer, config.steps)
        columns = sorted(columns_of(objective))
        batch = TokenBatch.like(num_rows=config.rows_per_step, length=length, columns=columns)
        plan = config.training.plan(context, batch, objective)
        return {
            "model": received.bundle.source,
            **plan,
            "demonstrations": len(demonstrations),
            "epochs": round(self._epochs(demonstrations), 2),
            "padding": f"{1 - demonstrations.mean_length / length:.0%} of the tokens",
            **work_plan(
                {"update": update_flops(config.training, context, batch)},
                config.steps,
                evaluation_flops(context.model, bench.evaluator, config.steps),
            ),
        }

    def _announce(self, bench: Workbench, demonstrations: Demonstrations) -> None:
        """Say what is trained on what, for how long, and how it is evaluated."""
        config, run = self.config, self.stage_run
        run.tell(f"{bench.received.describe()}; {counted(len(demonstrations), 'demonstration')}")
        run.tell(
            f"{counted(config.steps, 'step')} of {counted(config.rows_per_step, 'row')} of "
            f"{counted(padded(demonstrations), 'token')} {'is' if config.steps == 1 else 'are'} "
            f"{counted(self._epochs(demonstrations), 'epoch')}; "
            f"{counted(bench.evaluator.num_problems, 'problem')} to evaluate"
        )

    def _epochs(self, demonstrations: Demonstrations) -> float:
        return self.config.steps * self.config.rows_per_step / len(demonstrations)

    def _demonstrations(self, bench: Workbench) -> Demonstrations:
        source = bench.records(self.config.split)
        where, tokenizer = f"stages.{self.stage_run.name}", bench.received.bundle.tokenizer
        demonstrations = encode(source, tokenizer, self.config.max_length, where, positions=bench.positions)
        if line := told(demonstrations):
            self.stage_run.say(line)
        return demonstrations


def padded(demonstrations: Demonstrations) -> int:
    """Return the length of every row: one shape for the whole stage, so that nothing compiles later."""
    return round_up_rows(demonstrations.longest, LENGTH_MULTIPLE)

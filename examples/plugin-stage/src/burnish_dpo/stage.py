"""The `dpo` stage: builds what the loop needs from its config, runs it, and hands the model on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from burnish.platform import Artifacts, StageRun, StatsTracker
from burnish.sample import Workbench
from burnish_dpo.config import DPO
from burnish_dpo.objective import PreferenceObjective
from burnish_dpo.pairs import REFERENCE, PairLayout, Pairs, encode, with_reference

LENGTH_MULTIPLE = 8
"""Rows are padded to a multiple of this many tokens."""


@dataclass(frozen=True, kw_only=True)
class DPOStage:
    """Trains the model that arrives to tell the chosen from the rejected, as the reference does not."""

    config: DPO
    stage_run: StageRun
    shared: Mapping[str, Any]

    def run(self, artifacts: Artifacts) -> Artifacts:
        """Train, export, and return the export as the model of the next stage."""
        config, run = self.config, self.stage_run
        bench = Workbench.of(run, artifacts, self.shared)
        pairs = self._pairs(bench)
        layout = self._layout(bench, pairs)
        run.tell(f"{bench.received.describe()}; {len(pairs):,} pairs in rows of {layout.length} tokens")
        training = bench.received.trainer(config.training, config.optimizer, config.steps)
        stream = bench.shuffled(with_reference(pairs, layout, training))
        objective = PreferenceObjective(config.beta)
        engine, evaluation = bench.make_engine(), bench.evaluator
        parts = {"training": training, "pairs": stream, "engine": engine, "evaluation": evaluation}
        for step in run.steps(config.steps, **parts):
            stats = StatsTracker()
            if step > 0:
                with run.span("train"):
                    batch = layout(stream.take(config.pairs_per_step), [REFERENCE])
                    statistics = training.step(batch, objective, key_words=bench.key_words(step)).statistics
                run.stop_if(not_finite, statistics)
                stats += statistics
            if evaluation.due(step, run.last_step):
                engine.update_weights(bench.judged(training))
                stats += evaluation(engine, step)
            run.commit(step, stats)
        return bench.received.hand_over(training)

    def plan(self) -> Mapping[str, int | float | str]:
        """Return what a run would do: batch arithmetic, parameters, bytes."""
        config = self.config
        bench = Workbench.of(self.stage_run, Artifacts(), self.shared)
        pairs = self._pairs(bench)
        layout = self._layout(bench, pairs)
        plan = config.training.plan(
            bench.received.training_context(config.optimizer, config.steps),
            layout.batch_like(),
            PreferenceObjective(config.beta),
        )
        epochs = config.steps * config.pairs_per_step / len(pairs)
        model = {"model": bench.received.bundle.source}
        return {**model, **plan, "pairs": len(pairs), "epochs": round(epochs, 2)}

    def _pairs(self, bench: Workbench) -> Pairs:
        config, run = self.config, self.stage_run
        records, longest = bench.records(config.split, config.pairs), config.max_length
        pairs = encode(records, bench.render, longest, bench.positions)
        if pairs.num_left_out:
            run.say(
                f"{pairs.num_left_out} pairs are longer than {longest} tokens, or than the model has "
                "positions, and are left out"
            )
        return pairs

    def _layout(self, bench: Workbench, pairs: Pairs) -> PairLayout:
        length = -(-pairs.longest // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        return PairLayout(self.config.pairs_per_step, length, bench.received.bundle.tokenizer.pad_token_id)


def not_finite(statistics: Mapping[str, Any]) -> str | None:
    """Return why to stop after an update that has changed nothing, as its loss or gradient was not finite."""
    skipped, _ = statistics["train/skipped"]
    return "the loss or its gradient is not finite; lower optimizer.learning_rate" if skipped else None

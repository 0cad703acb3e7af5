"""Supervised fine-tuning as a loop over built collaborators; usable without configuration files."""

from burnish.llm.aggregation import Aggregation
from burnish.llm.batch import TokenBatch, make_batch
from burnish.llm.limits import SkippedUpdates, Update
from burnish.llm.objective import Objective, as_trained, columns_for
from burnish.llm.sequence import Sample
from burnish.llm.training import TrainingBackend, judged_weights
from burnish.platform.data.order import RecordStream
from burnish.platform.device.randomness import Purpose, key_words
from burnish.platform.runs.stage_run import StageRun
from burnish.platform.statistics.tracker import StatsTracker
from burnish.sample.engine import Engine
from burnish.sample.evaluation import Evaluation


def run_sft(
    run: StageRun,
    *,
    training: TrainingBackend,
    demonstrations: RecordStream[Sample],
    objective: Objective,
    engine: Engine,
    evaluation: Evaluation,
    steps: int,
    rows_per_step: int,
    length: int,
    max_length: int,
    skipped: SkippedUpdates,
    pad_token_id: int,
    aggregation: Aggregation = "token_mean",
) -> None:
    """Train for `steps` optimizer steps of `rows_per_step` demonstrations in rows of `length` tokens."""
    parts = {"engine": engine, "evaluation": evaluation, "objective": objective, "skipped_updates": skipped}
    for step in run.steps(steps, training=training, data=demonstrations, **parts):
        stats = StatsTracker()
        if step > 0:
            with run.span("train"):
                samples = demonstrations.take(rows_per_step)
                batch = make_batch(
                    samples,
                    num_rows=rows_per_step,
                    length=length,
                    pad_token_id=pad_token_id,
                    aggregation=aggregation,
                    max_length=max_length,
                    columns=columns_for(objective, samples),
                )
                update = learn(run, training, objective, batch, step)
            run.stop_if(skipped.exceeded, update)
            stats += update.statistics
        if evaluation.due(step, run.last_step):
            engine.update_weights(judged_weights(training))
            stats += evaluation(engine, step)
        run.commit(step, stats)


def learn(
    run: StageRun, training: TrainingBackend, objective: Objective, batch: TokenBatch, step: int
) -> Update:
    """Make the update of one step, with noise that is a function of the step."""
    words = key_words(run.seed, run.index, step, Purpose.TRAINING, 0)
    statistics = training.step(batch, objective, key_words=words).statistics
    return Update(f"step_{step}", statistics, as_trained(batch, objective, words))

"""Reinforcement learning as a loop over built collaborators; usable without configuration files.

A step: roll out, reward, keep, compare, update, sync, evaluate, commit.
"""

from burnish.llm.training import TrainingBackend
from burnish.platform.data.order import RecordStream
from burnish.platform.data.source import Record
from burnish.platform.stage_run import Run
from burnish.platform.stats import StatsTracker
from burnish.rl.algorithm import Algorithm
from burnish.rl.batches import make_batches
from burnish.rl.groups import rows
from burnish.rl.objectives.mismatch import only_first
from burnish.sample.engine import Engine
from burnish.sample.evaluation import Evaluation


def run_rl(
    run: Run,
    *,
    steps: int,
    training: TrainingBackend,
    prompts: RecordStream[Record],
    engine: Engine,
    algorithm: Algorithm,
    evaluation: Evaluation,
    log_groups: int = 4,
) -> None:
    """Improve the policy for `steps` rollouts, each followed by the updates of the algorithm's layout.

    The completions of the first `log_groups` prompts of a step go to `samples/rollouts.jsonl`.
    """
    layout, selection = algorithm.layout, algorithm.selection
    for step in run.steps(steps, training=training, data=prompts):
        stats = StatsTracker()
        engine.update_weights(training.weights(), training.weight_version)
        if step > 0:
            with run.span("rollout"), stats.scope("rollout"):
                records = prompts.take(layout.prompts_per_step)
                groups = algorithm.rollout(engine, records, layout.samples_per_prompt, step)
                stats += engine.stats()
            with run.span("reward"):
                groups = selection.score(groups, stats)
                kept = selection.keep(groups, stats)
            with run.span("update"):
                batches = make_batches(layout, kept, algorithm.advantage(kept))
                updates = [training.step(batch, algorithm.objective) for batch in batches]
                if reason := algorithm.limits.exceeded(updates):
                    run.stop(reason)
            for number, statistics in enumerate(updates):
                stats += only_first(number, statistics)
            stats.scalar("rollout/updates", len(updates))
            run.samples("rollouts").write(step, rows(groups[:log_groups]))
            engine.update_weights(training.weights(), training.weight_version)
        if evaluation.due(step, steps):
            stats += evaluation(engine, step)
        run.commit(step, stats)

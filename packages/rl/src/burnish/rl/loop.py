"""Reinforcement learning as a loop over built collaborators; usable without configuration files.

A step: rollout, reward, keep, advantage, update, sync, evaluate, commit.
"""

from burnish.llm.objective import Objective
from burnish.llm.training import TrainingBackend
from burnish.platform.data.order import RecordStream
from burnish.platform.run import Run
from burnish.platform.stats import StatsTracker
from burnish.rl.advantages.protocol import Advantage
from burnish.rl.batches import BatchLayout, make_batches
from burnish.rl.groups import rows
from burnish.rl.limits import Limits
from burnish.rl.objectives.mismatch import only_first
from burnish.rl.rollouts.protocol import Rollout
from burnish.rl.selection import Selection
from burnish.sample.engine import Engine
from burnish.sample.evaluation import Evaluation


def run_rl(
    run: Run,
    *,
    steps: int,
    training: TrainingBackend,
    prompts: RecordStream,
    engine: Engine,
    rollout: Rollout,
    selection: Selection,
    advantage: Advantage,
    objective: Objective,
    layout: BatchLayout,
    limits: Limits,
    evaluation: Evaluation,
    log_groups: int = 4,
) -> None:
    """Improve the policy for `steps` rollouts, each followed by the updates of `layout`.

    The completions of the first `log_groups` prompts of a step go to `samples/rollouts.jsonl`.
    """
    for step in run.steps(steps, training=training, data=prompts):
        stats = StatsTracker()
        engine.update_weights(training.weights(), training.weight_version)
        if step > 0:
            with run.span("rollout"):
                records = prompts.take(layout.prompts_per_step)
                groups = rollout(engine, records, layout.samples_per_prompt, step)
            with stats.scope("rollout"):
                stats += engine.stats()
            with run.span("reward"):
                groups = selection.score(groups, stats)
                kept = selection.keep(groups, stats)
            with run.span("update"):
                batches = make_batches(layout, kept, advantage(kept))
                updates = [training.step(batch, objective) for batch in batches]
                if reason := limits.exceeded(updates):
                    run.stop(reason)
            for number, statistics in enumerate(updates):
                stats += only_first(number, statistics)
            stats.scalar("rollout/updates", len(updates))
            engine.update_weights(training.weights(), training.weight_version)
            run.samples("rollouts").write(step, rows(groups[:log_groups]))
        if evaluation.due(step, steps):
            stats += evaluation(engine, step)
        run.commit(step, stats)

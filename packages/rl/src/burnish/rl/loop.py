"""Reinforcement learning as a loop over built collaborators; usable without configuration files.

A step: roll out, reward, keep, compare, update, sync, evaluate, commit.
"""

from collections.abc import Sequence

from burnish.llm.limits import Update
from burnish.llm.objective import as_trained
from burnish.llm.training import Averages, TrainingBackend
from burnish.platform.data.order import RecordStream
from burnish.platform.data.source import Record
from burnish.platform.device.randomness import Purpose, key_words
from burnish.platform.runs.stage_run import StageRun
from burnish.platform.statistics.tracker import StatsTracker
from burnish.rl.advantages.protocol import estimate
from burnish.rl.algorithm import Algorithm
from burnish.rl.batches import make_batches
from burnish.rl.config.metric import LOSS
from burnish.rl.groups import Group, require_whole, rows
from burnish.rl.objectives.mismatch import only_first
from burnish.sample.engine import Engine
from burnish.sample.evaluation import Evaluation

TOKENS = "train/tokens"
OBJECTIVE = "train/loss"
"""What a backend calls the objective's mean; a policy's says something else than a likelihood's."""


def run_rl(
    run: StageRun,
    *,
    steps: int,
    training: TrainingBackend,
    prompts: RecordStream[Record],
    engine: Engine,
    algorithm: Algorithm,
    evaluation: Evaluation,
    log_groups: int = 4,
) -> None:
    """Improve the policy by `steps` rollouts; `log_groups` prompts of each go to `samples/rollouts.jsonl`."""
    layout, limits = algorithm.layout, algorithm.limits
    parts = {"engine": engine, "evaluation": evaluation, **algorithm.parts}
    for step in run.steps(steps, training=training, data=prompts, **parts):
        stats = StatsTracker()
        if engine.version != training.weight_version:
            engine.update_weights(training.weights())
        if step > 0:
            with run.span("rollout"):
                records = prompts.take(layout.prompts_per_step)
                groups = algorithm.rollout(engine, records, layout.samples_per_prompt, step)
                require_whole(groups, len(records), layout.samples_per_prompt)
            with run.span("reward"):
                groups, unrewarded = algorithm.scoring(groups, stats)
                require_rewards(run, step, groups[:log_groups], unrewarded)
                kept = algorithm.filtering(groups, layout.completions_per_step, stats)
            with run.span("update"):
                updates, reason = learn(run, training, algorithm, kept, step)
            if reason is not None:
                run.stop(reason)
            run.stop_if(limits.skipped_too_often, updates)
            report(updates, stats)
            run.samples("rollouts").write(step, rows(groups[:log_groups]))
            engine.update_weights(training.weights())
            with stats.scope("perf/rollout"):
                stats += engine.stats()
        if evaluation.due(step, run.last_step):
            stats += judge(evaluation, engine, training, step)
        run.commit(step, stats)


def judge(evaluation: Evaluation, engine: Engine, training: TrainingBackend, step: int) -> StatsTracker:
    """Evaluate what the stage would hand over; the engine goes on with what it samples rollouts from."""
    average = training.averaged() if isinstance(training, Averages) else None
    if average is None:
        return evaluation(engine, step)
    engine.update_weights(average)
    try:
        return evaluation(engine, step)
    finally:
        engine.update_weights(training.weights())


def learn(
    run: StageRun, training: TrainingBackend, algorithm: Algorithm, groups: Sequence[Group], step: int
) -> tuple[list[Update], str | None]:
    """Make the updates of one rollout; return them, and a reason to stop after the first one.

    The first update is waited for, once the batch of the second is made: where it shows that the engine
    sampled from another policy, no other update and no other rollout may follow.
    """
    updates: list[Update] = []
    objective, advantages = algorithm.objective, estimate(algorithm.advantage, groups)
    sampled_with, exceeded = training.weights().tree, algorithm.limits.mismatch.exceeded
    for batch in make_batches(algorithm.layout, groups, advantages, objective):
        if len(updates) == 1 and (reason := exceeded(updates[0].statistics, sampled_with, updates[0].batch)):
            return updates, reason
        number = len(updates)
        words = key_words(run.seed, run.index, step, Purpose.TRAINING, number)
        statistics = training.step(batch, objective, key_words=words).statistics
        trained_on = as_trained(batch, objective, words)
        updates.append(Update(f"step_{step}_update_{number + 1}", statistics, trained_on))
    if len(updates) == 1:
        return updates, exceeded(updates[0].statistics, sampled_with, updates[0].batch)
    return updates, None


def require_rewards(run: StageRun, step: int, groups: Sequence[Group], reason: str | None) -> None:
    """End the run where a rollout has no reward: it is written for reading, and a resumed run repeats it."""
    if reason is None:
        return
    end = run.abandon(reason)  # before: what it saves has no rows of this step
    run.samples("rollouts").write(step, rows(groups))
    raise end


def report(updates: Sequence[Update], stats: StatsTracker) -> None:
    """Add the updates of one rollout to the step's statistics: means over them, and all their tokens.

    The loss has a name of its own, so that no curve goes on where one of imitation ends.
    """
    stats.scalar("rollout/updates", len(updates))
    for number, update in enumerate(updates):
        kept = only_first(number, update.statistics)
        stats.sum(TOKENS, kept[TOKENS][0])
        named = {LOSS.name if name == OBJECTIVE else name: value for name, value in kept.items()}
        stats += {name: value for name, value in named.items() if name != TOKENS}

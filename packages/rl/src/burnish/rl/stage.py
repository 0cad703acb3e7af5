"""The `rl` stage: builds what the loop needs from its config, runs it, and hands the model on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from burnish.llm.batch import TokenBatch
from burnish.llm.limits import SkippedUpdates
from burnish.llm.objective import ObjectiveContext, build_objective, columns_of
from burnish.llm.sequence import TEMPERATURE
from burnish.llm.token_limit import token_limit
from burnish.llm.work import forward_flops, update_flops, work_plan
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.conformance import built
from burnish.platform.counted import counted
from burnish.platform.runs.stage_run import StageRun
from burnish.rl.advantages.protocol import Advantage, AdvantageContext
from burnish.rl.algorithm import Algorithm
from burnish.rl.batches import BatchLayout
from burnish.rl.config.stage import RL
from burnish.rl.filtering import Filtering
from burnish.rl.filters.protocol import Filter, FilterContext
from burnish.rl.limits import Limits
from burnish.rl.loop import run_rl
from burnish.rl.mismatch_limit import MismatchLimit, NoiseFloor
from burnish.rl.objectives.mismatch import MeasuredObjective
from burnish.rl.prompts import Prompts, prompts_that_fit
from burnish.rl.rollouts.protocol import Rollout, RolloutContext
from burnish.rl.scoring import Scoring
from burnish.sample.evaluation_work import evaluation_flops
from burnish.sample.rewards.failures import FirstFailures
from burnish.sample.rewards.protocol import RewardContext, build_rewards
from burnish.sample.rewards.required_columns import require_columns
from burnish.sample.workbench import Workbench


@dataclass(frozen=True, kw_only=True)
class RLStage:
    """Reinforcement learning of the model that arrives."""

    config: RL
    stage_run: StageRun
    shared: Mapping[str, Any]

    def run(self, artifacts: Artifacts) -> Artifacts:
        """Train, export, and return the export as the model of the next stage."""
        config, run = self.config, self.stage_run
        bench = Workbench.of(run, artifacts, self.shared)
        received = bench.received
        prompts = self._prompts(bench)
        layout = self._layout(prompts, received.bundle.tokenizer.pad_token_id)
        self._announce(bench, prompts)
        training = received.trainer(config.training, config.optimizer, self.total_updates)
        run_rl(
            run,
            steps=config.steps,
            training=training,
            prompts=bench.shuffled(prompts),
            engine=bench.make_engine(layout.length),
            algorithm=self._algorithm(bench, layout),
            evaluation=bench.evaluator,
            log_groups=config.log_groups,
        )
        return received.hand_over(training)

    def plan(self) -> Mapping[str, int | float | str]:
        """Return what a run would do: batch arithmetic, parameters, bytes."""
        config = self.config
        bench = Workbench.of(self.stage_run, Artifacts(), self.shared)
        received = bench.received
        prompts = self._prompts(bench)
        layout = self._layout(prompts, received.bundle.tokenizer.pad_token_id)
        objective = self._measured(bench)
        columns = [*sorted(columns_of(objective)), TEMPERATURE]
        context = received.training_context(config.optimizer, self.total_updates)
        batch = TokenBatch.like(num_rows=layout.num_rows, length=layout.length, columns=columns)
        plan = config.training.plan(context, batch, objective)
        update = config.updates_per_rollout * update_flops(config.training, context, batch)
        rollout = f"{config.prompts_per_step} prompts x {config.samples_per_prompt} samples"
        return {
            "model": received.bundle.source,
            **plan,
            "rollouts": config.steps,
            "completions per rollout": rollout,
            "prompts": len(prompts),
            **self._work(bench, prompts, layout, update),
        }

    def _work(
        self, bench: Workbench, prompts: Prompts, layout: BatchLayout, update: float
    ) -> dict[str, float | str]:
        """Return how often prompts are seen, how much is padding, and where the work is, at full length."""
        config, model = self.config, bench.received.bundle.model
        mean, num_new = prompts.mean_length, config.max_new_tokens
        num_decoded = config.prompts_per_step * config.samples_per_prompt * num_new
        prefill = forward_flops(model, config.prompts_per_step * mean, mean / 2)
        decoding = forward_flops(model, num_decoded, mean + num_new / 2)
        padding = 1 - (mean + num_new) / layout.length
        return {
            "epochs": round(config.steps * config.prompts_per_step / len(prompts), 2),
            "padding": f"{padding:.0%} of the tokens or more, as completions end early",
            **work_plan(
                {"rollout": prefill + decoding, "update": update},
                config.steps,
                evaluation_flops(model, bench.evaluator, config.steps),
            ),
        }

    def _announce(self, bench: Workbench, prompts: Prompts) -> None:
        """Say what is trained on what, for how long, and how it is evaluated."""
        config, run = self.config, self.stage_run
        run.tell(f"{bench.received.describe()}; {counted(len(prompts), 'prompt')}")
        run.tell(
            f"{counted(config.steps, 'rollout')} of {counted(config.prompts_per_step, 'prompt')} x "
            f"{counted(config.samples_per_prompt, 'sample')} of up to "
            f"{counted(config.max_new_tokens, 'token')}, "
            f"{counted(config.updates_per_rollout, 'update')} each; "
            f"{counted(bench.evaluator.num_problems, 'problem')} to evaluate"
        )

    @property
    def total_updates(self) -> int:
        """Optimizer steps of the whole stage."""
        return self.config.steps * self.config.updates_per_rollout

    def _prompts(self, bench: Workbench) -> Prompts:
        config = self.config
        where, bundle = f"stages.{self.stage_run.name}", bench.received.bundle
        limit = token_limit(
            f"{where}.max_prompt_tokens",
            config.max_prompt_tokens,
            bench.positions,
            reserved=config.max_new_tokens,
            reserved_by=f"{where}.max_new_tokens",
        )
        prompts = prompts_that_fit(bench.records(config.split), bundle.tokenizer, limit, where)
        require_columns(config.rewards, prompts, bench.data, f"{where}.rewards")
        if prompts.left_out:
            self.stage_run.say(prompts.left_out)
        return prompts

    def _layout(self, prompts: Prompts, pad_token_id: int) -> BatchLayout:
        config = self.config
        return BatchLayout(
            prompts_per_step=config.prompts_per_step,
            samples_per_prompt=config.samples_per_prompt,
            updates_per_rollout=config.updates_per_rollout,
            length=prompts.longest + config.max_new_tokens,
            max_new_tokens=config.max_new_tokens,
            pad_token_id=pad_token_id,
            aggregation=config.aggregation,
        )

    def _algorithm(self, bench: Workbench, layout: BatchLayout) -> Algorithm:
        config, run = self.config, self.stage_run
        return Algorithm(
            rollout=self._rollout(bench),
            scoring=self._scoring(bench),
            filtering=self._filtering(bench),
            advantage=self._advantage(bench),
            objective=self._measured(bench),
            layout=layout,
            limits=Limits(
                mismatch=MismatchLimit.of(
                    config.max_mismatch,
                    run.jax.compute_dtype,
                    NoiseFloor(model=bench.received.bundle.model, mesh=run.mesh),
                ),
                skipped=SkippedUpdates.of(run, config.max_skipped_updates),
            ),
        )

    def _advantage(self, bench: Workbench) -> Advantage:
        config, run = self.config, self.stage_run
        context = AdvantageContext(
            samples_per_prompt=config.samples_per_prompt,
            seed=run.seed,
            stage=run.name,
            artifacts=bench.received.artifacts,
        )
        return built("advantage", config.advantage, Advantage, context)

    def _measured(self, bench: Workbench) -> MeasuredObjective:
        context = ObjectiveContext(jax=self.stage_run.jax, artifacts=bench.received.artifacts)
        return MeasuredObjective(build_objective(self.config.objective, context))

    def _rollout(self, bench: Workbench) -> Rollout:
        config, run = self.config, self.stage_run
        context = RolloutContext(
            tokenizer=bench.received.bundle.tokenizer,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            jax=run.jax,
            seed=run.seed,
            stage=run.name,
            stage_index=run.index,
            artifacts=bench.received.artifacts,
        )
        return built("rollout", config.rollout, Rollout, context)

    def _scoring(self, bench: Workbench) -> Scoring:
        config, run = self.config, self.stage_run
        context = RewardContext(
            tokenizer=bench.received.bundle.tokenizer,
            jax=run.jax,
            seed=run.seed,
            stage=run.name,
            artifacts=bench.received.artifacts,
        )
        return Scoring(
            rewards=build_rewards(config.rewards, context),
            reward_weights=config.reward_weights,
            timeout_seconds=config.reward_timeout_seconds,
            failures=FirstFailures(run.say, "reward/failed"),
        )

    def _filtering(self, bench: Workbench) -> Filtering:
        config, run = self.config, self.stage_run
        context = FilterContext(
            samples_per_prompt=config.samples_per_prompt,
            seed=run.seed,
            stage=run.name,
            artifacts=bench.received.artifacts,
        )
        filters = {name: built("filter", rule, Filter, context) for name, rule in config.filters.items()}
        return Filtering(filters)

"""The `rl` stage as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from burnish.platform.configuration.component import fact
from burnish.platform.configuration.option_types import check_options
from burnish.platform.configuration.ranges import Count, CountOrZero, Finite, Positive
from burnish.platform.configuration.registry import name_of
from burnish.platform.configuration.slot_fields import shared, slot, slots
from burnish.platform.errors import ConfigError

if TYPE_CHECKING:
    from burnish.llm.bundle import ModelComponent
    from burnish.llm.export import ExportComponent
    from burnish.llm.objective import ObjectiveComponent
    from burnish.llm.optimizer import OptimizerComponent
    from burnish.llm.tokenizer import TokenizerComponent
    from burnish.llm.training import TrainingComponent
    from burnish.platform.data.source import DataComponent
    from burnish.platform.runs.stage import CheckContext, Stage
    from burnish.platform.runs.stage_run import StageRun
    from burnish.rl.advantages.protocol import AdvantageComponent
    from burnish.rl.filters.protocol import FilterComponent
    from burnish.rl.rollouts.protocol import RolloutComponent
    from burnish.sample.engine import EngineComponent
    from burnish.sample.evaluation import EvaluationComponent
    from burnish.sample.rewards.protocol import RewardComponent


DEFAULT_POSITION = 20
"""Where `rl` stands in the chain of `train` alone: after what imitates."""


@dataclass(frozen=True, kw_only=True)
class RL:
    """Roll out, reward, compare, update: reinforcement learning with verifiable rewards."""

    provides: ClassVar[frozenset[str]] = frozenset({"model"})

    model: "ModelComponent" = shared("model", "tiny")
    tokenizer: "TokenizerComponent" = shared("tokenizer", "auto")
    data: "DataComponent" = shared("data", "arithmetic")
    engine: "EngineComponent" = shared("engine", "in_process")
    evaluation: "EvaluationComponent" = shared("evaluation", "greedy")
    export: "ExportComponent" = shared("export", "huggingface")

    steps: Count = 200
    """Rollouts, each followed by `updates_per_rollout` optimizer steps."""
    prompts_per_step: Count = 32
    """Different prompts in one rollout."""
    samples_per_prompt: Count = 8
    """Completions of each prompt: the group that rewards are compared in."""
    updates_per_rollout: Count = 1
    """Optimizer steps that share one rollout's completions; divides `prompts_per_step`."""
    max_prompt_tokens: Count = 1024
    """Longer prompts are left out, and counted when the stage starts, as are those that leave the model no
    positions for `max_new_tokens`."""
    max_new_tokens: Count = 512
    """Longest completion in tokens, the end-of-sequence token included."""
    temperature: Positive = 1.0
    """Sampling temperature; the policy is scored at the same one."""
    split: str = "prompts"
    """The split of `data` that prompts come from."""
    aggregation: Literal["token_mean", "sequence_mean", "constant"] = "token_mean"
    """How per-token losses become one: the mean over all trained tokens of an update's batch, the mean over
    sequences of their means, or the sum divided by trained sequences times `max_new_tokens` (Dr. GRPO)."""
    max_mismatch: Positive | Literal["auto"] = "auto"
    """Stop when the engine's log-probabilities differ from the trainer's by more than this on average, in
    nats per token, measured in the first update of every rollout; `auto` is 1e-4 where `jax.compute_dtype` is
    float32. Where it is bfloat16, `auto` is 1.5 times what rounding does to this model, as measured in the
    run; from the 33rd rollout on it is twice the largest share of that rounding among the first 32, .3 at
    least, where that is less than 1.5: a mismatch that drifts away from how the stage began ends it too."""
    max_skipped_updates: Count = 10
    """Stop after this many updates in a row whose gradient is not finite."""
    reward_timeout_seconds: Positive = 60.0
    """Seconds an asynchronous reward may take for one completion before the completion counts as failed."""
    reward_weights: Mapping[str, Finite] = field(default_factory=dict[str, float])
    """Factors of `rewards`, by their labels, in the sum that is learned from; 1 where none is named."""
    log_groups: CountOrZero = 4
    """Prompts of each step whose completions are written to `samples/rollouts.jsonl`."""
    rollout: "RolloutComponent" = slot("rollout", "single_turn")
    rewards: "Mapping[str, RewardComponent]" = slots("reward", ["exact_match"])
    """What a completion is worth: the sum of these, by label, times `reward_weights`."""
    advantage: "AdvantageComponent" = slot("advantage", "group_mean")
    filters: "Mapping[str, FilterComponent]" = slots("filter", [])
    """Which completions are not learned from, asked one after another, by label."""
    objective: "ObjectiveComponent" = slot("objective", "clipped_policy_gradient")
    optimizer: "OptimizerComponent" = slot("optimizer", "adamw")
    training: "TrainingComponent" = slot("training", "jax")

    def __post_init__(self) -> None:
        """Refuse counts that train nothing or do not divide."""
        check_options(self)
        self._check_algorithm()

    def _check_algorithm(self) -> None:
        """Refuse parts that cannot learn together."""
        if self.prompts_per_step % self.updates_per_rollout:
            legal = [n for n in range(1, self.prompts_per_step + 1) if self.prompts_per_step % n == 0]
            raise ConfigError(
                f"updates_per_rollout={self.updates_per_rollout} does not divide "
                f"prompts_per_step={self.prompts_per_step}; it could be one of {legal}"
            )
        if not self.rewards:
            raise ConfigError("rewards: there is nothing to learn from; choose the reward 'exact_match'")
        if unknown := sorted(set(self.reward_weights) - set(self.rewards)):
            raise ConfigError(f"reward_weights names {unknown}; the rewards are {sorted(self.rewards)}")
        least = fact(self.advantage, "min_group_size", 1)
        if self.samples_per_prompt < least:
            raise ConfigError(
                f"samples_per_prompt={self.samples_per_prompt} is too few for the advantage "
                f"'{name_of('advantage', self.advantage)}', which compares {least} completions of a "
                f"prompt at least; raise it to {least} or more, or choose the advantage 'batch_mean'"
            )
        most = fact(self.objective, "max_updates_per_rollout", self.updates_per_rollout)
        if self.updates_per_rollout > most:
            raise ConfigError(
                f"updates_per_rollout={self.updates_per_rollout} is more than the objective "
                f"'{name_of('objective', self.objective)}' can learn from one rollout; set it to "
                f"{most}, or choose the objective 'clipped_policy_gradient'"
            )

    def check(self, context: "CheckContext") -> None:
        """Refuse data that cannot be read, and a model or a batch that cannot be trained."""
        from burnish.llm.received import check_training
        from burnish.platform.data.source import DataContext, build_data

        if context.can_build(self.data):
            build_data(self.data, DataContext(split=self.split))
        num_rows = self.prompts_per_step * self.samples_per_prompt // self.updates_per_rollout
        check_training(self.training, self.model, self.tokenizer, num_rows=num_rows, context=context)

    def build(self, run: "StageRun", **shared_components: Any) -> "Stage":
        """Return the stage over this run; loads nothing yet."""
        from burnish.rl.stage import RLStage

        return RLStage(config=self, stage_run=run, shared=shared_components)

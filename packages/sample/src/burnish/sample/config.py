"""The components of this package as plain data: engine, rewards, evaluation and the `eval` stage.

Nothing here imports jax. What a component does lives in the module that its `build` imports.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from burnish.platform.component import shared, slots
from burnish.platform.errors import ConfigError

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from burnish.llm.families.protocol import CausalLM
    from burnish.llm.tokenizer import Tokenizer
    from burnish.platform.stage_run import Run
    from burnish.sample.engine import Engine
    from burnish.sample.evaluation import Evaluation, SampleWriter
    from burnish.sample.rewards.protocol import Reward
    from burnish.sample.stage import EvalStage


@dataclass(frozen=True, kw_only=True)
class InProcess:
    """The engine that decodes in this process, on the devices of the run's mesh."""

    slots: int = 256
    """Completions decoded side by side; a finished one makes room for the next request in the queue.
    Divisible by the number of devices that rows are spread over."""

    decode_steps: int = 32
    """Most decode steps of one compiled chunk, after which the host looks at what has ended."""

    refill_slots: int = 32
    """Free slots at which a chunk ends early while requests wait; at most an eighth of `slots` counts."""

    prefill_rows: int = 64
    """Different prompts prefilled side by side; divisible by the same number as `slots`."""

    prefill_tokens: int = 16
    """Prompt tokens prefilled per call; a longer prompt takes several calls of the same shape."""

    def __post_init__(self) -> None:
        """Refuse shapes without an element."""
        for name in ("slots", "decode_steps", "refill_slots", "prefill_rows", "prefill_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`engine.{name}` is {getattr(self, name)}; it must be 1 or more")

    def build(
        self, *, model: "CausalLM", tokenizer: "Tokenizer", mesh: "Mesh", max_tokens: int, compute_dtype: str
    ) -> "Engine":
        """Return the engine, which waits for `update_weights` before it can generate.

        `max_tokens` bounds prompt and completion together. Rows are spread over `dp` and `fsdp` of `mesh`.
        """
        from burnish.sample.inprocess.engine import build_engine

        return build_engine(
            self,
            model,
            tokenizer.eos_token_ids,
            mesh=mesh,
            max_tokens=max_tokens,
            compute_dtype=compute_dtype,
        )


@dataclass(frozen=True, kw_only=True)
class ExactMatch:
    """1 when the answer found in the completion equals the record's, character by character; else 0."""

    answer_pattern: str = r"(?s).*#\s*(.*)"
    """Regular expression matched from the completion's start; its first group is the answer. The default
    takes what follows the last `#`, so `#6`, `3,1#6` and `#### 72` all work. No match is worth 0."""

    answer_key: str = "answer"
    """Column of the record that holds the right answer, compared as a string without surrounding blanks."""

    def __post_init__(self) -> None:
        """Refuse a pattern that is not one, or that has no group."""
        if compile_pattern("answer_pattern", self.answer_pattern).groups < 1:
            raise ConfigError(
                f"`answer_pattern` is {self.answer_pattern!r}; put a group around the answer, as in '#(.*)'"
            )

    def build(self, **_: Any) -> "Reward":
        """Return the reward."""
        from burnish.sample.rewards.exact_match import ExactMatchReward

        return ExactMatchReward(re.compile(self.answer_pattern), self.answer_key)


@dataclass(frozen=True, kw_only=True)
class Format:
    """1 when the whole completion matches a regular expression, else 0."""

    pattern: str = r"(?s).*#.+"
    """Regular expression that the completion, without surrounding blanks, must match from end to end."""

    def __post_init__(self) -> None:
        """Refuse a pattern that is not one."""
        compile_pattern("pattern", self.pattern)

    def build(self, **_: Any) -> "Reward":
        """Return the reward."""
        from burnish.sample.rewards.format import FormatReward

        return FormatReward(re.compile(self.pattern))


@dataclass(frozen=True, kw_only=True)
class GreedyEvaluation:
    """Greedy completions of the same held-out problems each time, and what the rewards say of them."""

    split: str = "test"
    """Split of the data whose problems are solved: `validation`, `test` or another that the data has."""

    num_problems: int = 512
    """Problems taken from the split's beginning; all of them where it has fewer."""

    every_steps: int = 100
    """Steps between two evaluations; 0 evaluates only before the first step and after the last."""

    max_new_tokens: int = 256
    """Longest completion in tokens, the end-of-sequence token included."""

    reward_timeout_seconds: float = 60.0
    """Seconds an asynchronous reward may take for one sample before the sample counts as failed."""

    rewards: Mapping[str, Any] = slots("reward", ["exact_match"])
    """What a completion is worth; the first one's mean is `eval/accuracy`."""

    def __post_init__(self) -> None:
        """Refuse numbers that select nothing."""
        for name, least in (("num_problems", 1), ("every_steps", 0), ("max_new_tokens", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"`evaluation.{name}` is {getattr(self, name)}; it must be {least} or more")
        if self.reward_timeout_seconds <= 0:
            raise ConfigError(
                f"`evaluation.reward_timeout_seconds` is {self.reward_timeout_seconds}; it must be positive"
            )

    def build(
        self, *, data: Any, tokenizer: "Tokenizer", writer: "SampleWriter | None" = None
    ) -> "Evaluation":
        """Return the evaluation over `data.build(split)`; rows go to `writer`, where there is one."""
        from burnish.sample.evaluation import build_evaluation

        return build_evaluation(self, data, tokenizer, writer)


@dataclass(frozen=True, kw_only=True)
class Eval:
    """The `eval` stage: evaluate the model that arrives, write one row, pass it on unchanged."""

    model: Any = shared("model", "tiny")
    """The model, where no earlier stage hands one over."""

    tokenizer: Any = shared("tokenizer", "auto")
    """Text to tokens and back."""

    data: Any = shared("data", "arithmetic")
    """Where the problems come from."""

    engine: Any = shared("engine", "in_process")
    """What completes the prompts."""

    evaluation: Any = shared("evaluation", "greedy")
    """Which problems, and how completions are scored."""

    def build(self, run: "Run", **shared_components: Any) -> "EvalStage":
        """Return the stage over the components of its shared fields."""
        from burnish.sample.stage import EvalStage
        from burnish.sample.workbench import Workbench

        return EvalStage(Workbench(run=run, **shared_components))


def compile_pattern(name: str, pattern: str) -> re.Pattern[str]:
    """Return the compiled expression, or say in one line what is wrong with the field `name`."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"`{name}` is {pattern!r}, no regular expression: {error}") from error

"""Greedy evaluation: the same problems each time, completed without chance, scored and written down."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.llm.chat import render_prompt
from burnish.llm.sequence import Sample, make_sample
from burnish.llm.token_limit import token_limit
from burnish.llm.tokenizer import Tokenizer
from burnish.platform.activity import busy, followed
from burnish.platform.checkpoint.snapshot import Restored, Snapshot
from burnish.platform.data.fingerprint import require_same
from burnish.platform.data.source import DataContext, DataSource, Record, build_data
from burnish.platform.errors import ConfigError, DataError
from burnish.platform.statistics.tracker import StatsTracker
from burnish.sample.engine import Engine, complete
from burnish.sample.evaluation import EvaluationContext, SampleWriter
from burnish.sample.request import Completion, Request
from burnish.sample.rewards.failures import FirstFailures, why_unrewarded
from burnish.sample.rewards.protocol import AsyncReward, Reward, RewardComponent, build_rewards
from burnish.sample.rewards.required_columns import require_columns
from burnish.sample.rewards.score import Scored, score

SHOWN = ("prompt", "completion", "answer", "reward")
"""Columns of a sample that are worth a glance."""


@dataclass(frozen=True)
class Problem:
    """A record and its prompt as the engine takes it."""

    record: Record
    prompt_tokens: list[int]


def build_evaluation(
    context: EvaluationContext,
    *,
    split: str,
    num_problems: int,
    every_steps: int,
    max_prompt_tokens: int,
    max_new_tokens: int,
    rewards: Mapping[str, RewardComponent],
    reward_timeout_seconds: float,
) -> "GreedyEvaluator":
    """Return the evaluation over the first `num_problems` of the split.

    Data that does not offer the split gives an evaluation without problems, which is never due. Raises
    `ConfigError` when the split is empty or no reward is named, `DataError` when every prompt is empty or too
    long.
    """
    if not rewards:
        raise ConfigError(
            "evaluation.rewards: there is nothing to score with; choose the reward 'exact_match'"
        )
    problems, fingerprint = list[Problem](), ""
    if split in context.data.splits():
        source = build_data(context.data, DataContext(split=split, artifacts=context.artifacts))
        fingerprint = source.fingerprint
        records = _first_records(source, num_problems, context, split)
        problems = _problems_that_fit(records, context, max_prompt_tokens, max_new_tokens)
        require_columns(rewards, records, context.data, "evaluation.rewards")
    return GreedyEvaluator(
        problems,
        build_rewards(rewards, context.for_rewards) if problems else {},
        tokenizer=context.tokenizer,
        writer=context.writer,
        every_steps=every_steps,
        max_new_tokens=max_new_tokens,
        reward_timeout_seconds=reward_timeout_seconds,
        fingerprint=fingerprint,
        say=context.say,
    )


def _first_records(
    source: DataSource, num_problems: int, context: EvaluationContext, split: str
) -> list[Record]:
    if not len(source):
        others = ", ".join(other for other in context.data.splits() if other != split)
        choose = f", or choose one of {others}" if others else ""
        raise ConfigError(f"evaluation.split={split} has no records; add some{choose}")
    return [source[index] for index in range(min(num_problems, len(source)))]


def _problems_that_fit(
    records: Sequence[Record], context: EvaluationContext, max_prompt_tokens: int, max_new_tokens: int
) -> list[Problem]:
    """Return the problems with a prompt that fits, and say how many do not; DataError where none does."""
    limit = token_limit(
        "evaluation.max_prompt_tokens",
        max_prompt_tokens,
        context.positions,
        reserved=max_new_tokens,
        reserved_by="evaluation.max_new_tokens",
    )
    problems = [
        Problem(record, render_prompt(context.tokenizer, record)) for record in followed("tokenize", records)
    ]
    lengths = [len(problem.prompt_tokens) for problem in problems]
    kept = [problem for problem, length in zip(problems, lengths, strict=True) if limit.admits(length)]
    if not kept:
        raise DataError(f"evaluation: {limit.none_left(lengths)}")
    if line := limit.left_out(lengths, "evaluation prompts"):
        context.say(line)
    return kept


class GreedyEvaluator:
    """Evaluates the weights an engine holds; the first reward's mean is `eval/accuracy`."""

    def __init__(
        self,
        problems: Sequence[Problem],
        rewards: Mapping[str, Reward | AsyncReward],
        *,
        tokenizer: Tokenizer,
        writer: SampleWriter | None,
        every_steps: int,
        max_new_tokens: int,
        reward_timeout_seconds: float,
        fingerprint: str,
        say: Callable[[str], None],
    ) -> None:
        """Hold the problems, of data with this fingerprint; nothing is computed before the first call."""
        self._problems = problems
        self._rewards = rewards
        self._tokenizer = tokenizer
        self._writer = writer
        self._every_steps = every_steps
        self._max_new_tokens = max_new_tokens
        self._reward_timeout_seconds = reward_timeout_seconds
        self._fingerprint = fingerprint
        self._failures = FirstFailures(say, "eval/failed")

    @property
    def num_problems(self) -> int:
        """The number of problems solved each time."""
        return len(self._problems)

    @property
    def max_tokens(self) -> int:
        """Room an engine needs for the longest prompt and its completion, in tokens; 0 without problems."""
        longest = max((len(problem.prompt_tokens) for problem in self._problems), default=0)
        return longest + self._max_new_tokens if self._problems else 0

    def due(self, step: int, last: int) -> bool:
        """Whether `step` is evaluated: 0, every `every_steps`, and the last one; never without problems."""
        every = self._every_steps
        return bool(self._problems) and (step in (0, last) or (every > 0 and step % every == 0))

    def __call__(self, engine: Engine, step: int) -> StatsTracker:
        """Evaluate, write the samples as rows of `step`, and return the statistics under `eval/`."""
        tracker = StatsTracker()
        with tracker.timing("evaluation"), busy("evaluate"):
            completions = complete(engine, self._requests())
            scored = score(
                [
                    self._sample(problem, done)
                    for problem, done in zip(self._problems, completions, strict=True)
                ],
                self._rewards,
                timeout_seconds=self._reward_timeout_seconds,
            )
            if self._writer is not None:
                rows = map(_row, range(self.num_problems), scored.samples, completions)
                self._writer.write(step, rows, shown=SHOWN)
        tracker += self._statistics(scored, completions)
        if step == 0:
            self._require_scores(scored)
        self._failures.tell(scored, self._rewards)
        with tracker.scope("perf/evaluation"):
            tracker += engine.stats()
        return tracker

    def save_state(self) -> Snapshot:
        """Return the fingerprint of the data that the problems are from."""
        return Snapshot(json={"fingerprint": self._fingerprint})

    def load_state(self, restored: Restored) -> None:
        """Go on with the same problems; `DataError` when they come from other data."""
        require_same(self._fingerprint, str(restored.json["fingerprint"]), "the evaluation's data")

    def _requests(self) -> list[Request]:
        return [
            Request(
                id=index,
                prompt_tokens=problem.prompt_tokens,
                max_new_tokens=self._max_new_tokens,
                temperature=0.0,
            )
            for index, problem in enumerate(self._problems)
        ]

    def _sample(self, problem: Problem, completion: Completion) -> Sample:
        return make_sample(
            problem.prompt_tokens,
            completion.tokens,
            is_sampled=True,
            prompt=self._tokenizer.decode(problem.prompt_tokens),
            completion=self._tokenizer.decode(completion.tokens.tolist()),
            status=completion.finish_reason,
            weight_version=completion.weight_version,
            record=problem.record,
        )

    def _require_scores(self, scored: Scored) -> None:
        """Raise ConfigError where not one problem has a score: no later evaluation would have any."""
        reason = why_unrewarded(scored, self._rewards)
        if reason is None:
            return
        raise ConfigError(
            f"evaluation.rewards: none of {self.num_problems} problems has a score: {reason}; "
            "mend the reward, choose rewards that read what the data has, or name its columns"
        )

    def _statistics(self, scored: Scored, completions: Sequence[Completion]) -> StatsTracker:
        tracker = scored.stats("eval")
        first = next(iter(self._rewards))
        values = [sample.rewards[first] for sample in scored.samples if first in sample.rewards]
        tracker.ratio("eval/accuracy", sum(values), len(values))
        count = len(completions)
        tracker.ratio("eval/completion_tokens", sum(len(done.tokens) for done in completions), count)
        tracker.ratio("eval/truncated", sum(done.finish_reason == "length" for done in completions), count)
        return tracker


def _row(problem: int, sample: Sample, completion: Completion) -> dict[str, Any]:
    return {
        "problem": problem,
        "prompt": sample.prompt,
        "completion": sample.completion,
        "answer": sample.record.get("answer"),
        "reward": sample.reward,
        "rewards": dict(sample.rewards),
        "status": sample.status,
        "completion_tokens": len(completion.tokens),
    }

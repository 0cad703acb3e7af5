"""Greedy evaluation: the same problems each time, completed without chance, scored and written down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.llm.chat import render_prompt
from burnish.llm.sequence import Sample, make_sample
from burnish.llm.tokenizer import Tokenizer
from burnish.platform.data.source import Record
from burnish.platform.errors import ConfigError
from burnish.platform.statistics.tracker import StatsTracker
from burnish.sample.config.evaluation import GreedyEvaluation
from burnish.sample.engine import Engine
from burnish.sample.evaluation import SampleWriter
from burnish.sample.request import Completion, Request
from burnish.sample.rewards.protocol import AsyncReward, Reward
from burnish.sample.rewards.score import Scored, score


@dataclass(frozen=True)
class Problem:
    """A record and its prompt as the engine takes it."""

    record: Record
    prompt_tokens: list[int]


def build_evaluation(
    config: GreedyEvaluation, data: Any, tokenizer: Tokenizer, writer: SampleWriter | None
) -> "GreedyEvaluator":
    """Return the evaluation over the first `num_problems` of the split.

    Data that does not offer the split gives an evaluation without problems, which is never due. Raises
    `ConfigError` when the split is empty or no reward is named.
    """
    if not config.rewards:
        raise ConfigError("`evaluation.rewards` is empty; name one, as in rewards.exact_match")
    if config.split not in data.splits():
        return GreedyEvaluator(config, [], {}, tokenizer, writer)
    source = data.build(config.split)
    if not len(source):
        raise ConfigError(f"`evaluation.split` is '{config.split}', which has no records; name another split")
    records = [source[index] for index in range(min(config.num_problems, len(source)))]
    problems = [Problem(record, render_prompt(tokenizer, record)) for record in records]
    rewards = {name: component.build() for name, component in config.rewards.items()}
    return GreedyEvaluator(config, problems, rewards, tokenizer, writer)


class GreedyEvaluator:
    """Evaluates the weights an engine holds; the first reward's mean is `eval/accuracy`."""

    def __init__(
        self,
        config: GreedyEvaluation,
        problems: Sequence[Problem],
        rewards: Mapping[str, Reward | AsyncReward],
        tokenizer: Tokenizer,
        writer: SampleWriter | None,
    ) -> None:
        """Hold the problems; nothing is computed before the first call."""
        self._config = config
        self._problems = problems
        self._rewards = rewards
        self._tokenizer = tokenizer
        self._writer = writer

    @property
    def num_problems(self) -> int:
        """The number of problems solved each time."""
        return len(self._problems)

    @property
    def max_tokens(self) -> int:
        """Room an engine needs for the longest prompt and its completion, in tokens; 0 without problems."""
        longest = max((len(problem.prompt_tokens) for problem in self._problems), default=0)
        return longest + self._config.max_new_tokens if self._problems else 0

    def due(self, step: int, last: int) -> bool:
        """Whether `step` is evaluated: 0, every `every_steps`, and the last one; never without problems."""
        every = self._config.every_steps
        return bool(self._problems) and (step in (0, last) or (every > 0 and step % every == 0))

    def __call__(self, engine: Engine, step: int) -> StatsTracker:
        """Evaluate, write the samples as rows of `step`, and return the statistics under `eval/`."""
        tracker = StatsTracker()
        with tracker.timing("evaluation"):
            completions = engine.generate(self._requests())
            scored = score(
                [
                    self._sample(problem, done)
                    for problem, done in zip(self._problems, completions, strict=True)
                ],
                self._rewards,
                timeout_seconds=self._config.reward_timeout_seconds,
            )
            if self._writer is not None:
                self._writer.write(step, map(_row, range(self.num_problems), scored.samples, completions))
        tracker += self._statistics(scored, completions)
        with tracker.scope("perf/evaluation"):
            tracker += engine.stats()
        return tracker

    def _requests(self) -> list[Request]:
        return [
            Request(
                id=index,
                prompt_tokens=problem.prompt_tokens,
                max_new_tokens=self._config.max_new_tokens,
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

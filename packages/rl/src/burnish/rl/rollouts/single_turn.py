"""The plain rollout: render each prompt, sample its completions, keep what the engine said of each token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from burnish.llm.chat import render_prompt
from burnish.llm.sequence import TEMPERATURE, Sample, make_sample
from burnish.llm.tokenizer import Tokenizer
from burnish.platform.data.source import Record
from burnish.platform.device.randomness import Purpose, key_words
from burnish.rl.groups import Group
from burnish.sample.engine import Engine, complete
from burnish.sample.request import Completion, Request


@dataclass(frozen=True, kw_only=True)
class SingleTurnRollout:
    """Sample every prompt several times; completion i of a step draws from key i of the step."""

    tokenizer: Tokenizer
    max_new_tokens: int
    temperature: float
    seed: int
    stage_index: int

    def __call__(
        self, engine: Engine, records: Sequence[Record], samples_per_prompt: int, step: int
    ) -> list[Group]:
        """Return the groups in the order of the records."""
        prompts = [render_prompt(self.tokenizer, record) for record in records]
        numbers = range(len(prompts) * samples_per_prompt)
        requests = [self._request(i, prompts[i // samples_per_prompt], step) for i in numbers]
        completions = complete(engine, requests)
        groups: list[Group] = []
        for group, (record, prompt) in enumerate(zip(records, prompts, strict=True)):
            shared = {"prompt": self.tokenizer.decode(prompt), "group_id": group, "record": record}
            members = numbers[group * samples_per_prompt : (group + 1) * samples_per_prompt]
            samples = (self._sample(prompt, completions[i], sample_id=i, **shared) for i in members)
            groups.append(Group(group, tuple(samples)))
        return groups

    def _request(self, number: int, prompt: Sequence[int], step: int) -> Request:
        return Request(
            id=number,
            prompt_tokens=prompt,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            key_words=key_words(self.seed, self.stage_index, step, Purpose.ROLLOUT, number),
        )

    def _sample(self, prompt_tokens: Sequence[int], completion: Completion, **facts: Any) -> Sample:
        return make_sample(
            prompt_tokens,
            completion.tokens,
            {
                "behavior_logprobs": completion.logprobs,
                TEMPERATURE: np.full(len(completion.tokens), self.temperature),
            },
            is_sampled=True,
            completion=self.tokenizer.decode(completion.tokens.tolist()),
            status=completion.finish_reason,
            weight_version=completion.weight_version,
            **facts,
        )

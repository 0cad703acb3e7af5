"""The rollout over an engine that records what it is asked and answers with a table."""

from dataclasses import replace

import numpy as np
import pytest

from burnish.llm.byte_tokenizer import ByteTokenizer
from burnish.platform.device.randomness import Purpose, key_words
from burnish.rl.rollouts.single_turn import SingleTurnRollout
from burnish.sample.request import Completion

pytestmark = pytest.mark.fast

TOKENIZER = ByteTokenizer()
ROLLOUT = SingleTurnRollout(tokenizer=TOKENIZER, max_new_tokens=5, temperature=0.7, seed=3, stage_index=2)
REASONS = ("stop", "length", "failed")


class Scripted:
    """Completes request i with i % 3 + 1 tokens, each with log-probability -i."""

    version = 4

    def generate(self, requests):
        self.requests = list(requests)
        return [self._completion(i, request) for i, request in enumerate(self.requests)]

    def _completion(self, i, request):
        num_tokens = i % 3 + 1
        return Completion(
            request_id=request.id,
            tokens=np.full(num_tokens, 97 + i, np.int32),
            logprobs=np.full(num_tokens, -i, np.float32),
            finish_reason=REASONS[i % 3],
            weight_version=self.version,
        )


@pytest.fixture
def engine():
    return Scripted()


@pytest.fixture
def groups(engine, records):
    return ROLLOUT(engine, [*records("p", "qr").rows], 3, step=9)


def test_every_prompt_is_asked_for_as_often_as_there_are_samples(engine, groups):
    assert [bytes(request.prompt_tokens) for request in engine.requests] == [b"p"] * 3 + [b"qr"] * 3
    assert {(request.max_new_tokens, request.temperature) for request in engine.requests} == {(5, 0.7)}
    assert [group.group_id for group in groups] == [0, 1]
    assert [len(group.samples) for group in groups] == [3, 3]


def test_keys_name_seed_stage_step_and_completion(engine, groups):
    expected = [key_words(3, 2, 9, Purpose.ROLLOUT, number) for number in range(6)]
    assert [request.key_words for request in engine.requests] == expected
    assert len(groups) == 2


@pytest.mark.parametrize("change", [{"seed": 4}, {"stage_index": 1}, {"step": 8}])
def test_twin_another_seed_stage_or_step_draws_other_keys(engine, groups, records, change):
    before = {request.key_words for request in engine.requests}
    step = change.pop("step", 9)
    replace(ROLLOUT, **change)(engine, [*records("p", "qr").rows], 3, step=step)
    assert not before & {request.key_words for request in engine.requests}
    assert len(groups) == 2


def test_samples_keep_what_the_engine_said_of_each_token(groups):
    sample = groups[1].samples[2]
    assert bytes(sample.tokens.tolist()) == b"qrfff"
    np.testing.assert_array_equal(sample.columns["behavior_logprobs"], [0, 0, -5, -5, -5])
    np.testing.assert_array_equal(sample.columns["loss_weights"], [0, 0, 1, 1, 1])
    assert (sample.prompt, sample.completion) == ("qr", "fff")
    assert (sample.group_id, sample.weight_version, sample.status) == (1, 4, "failed")
    assert sample.record["prompt"] == "qr"
    assert sample.reward is None
    assert [each.status for each in groups[0].samples] == list(REASONS)

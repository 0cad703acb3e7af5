"""The in-process engine against a naive loop, over slots, mates, devices and weights."""

import re
from dataclasses import replace

import jax
import numpy as np
import pytest

from burnish.llm.scalar_head import scalar_head
from burnish.llm.versioned_weights import Weights
from burnish.platform.errors import ConfigError, DataError
from burnish.sample.inprocess import prefill as prefill_module
from burnish.sample.request import Request

EOS = 40


@pytest.fixture
def assert_decodes_like(reference):
    """Return the check that every completion is the naive loop's."""

    def check(params, requests, completions):
        expected = [reference(params, request) for request in requests]
        assert [done.tokens.tolist() for done in completions] == expected

    return check


@pytest.fixture
def assert_logprobs_are_teacher_forced(full_logits):
    """Return the check that logprobs equal the full pass's under the sampling distribution, to 1e-5."""

    def check(params, requests, completions):
        for request, done in zip(requests, completions, strict=True):
            sequence = [*request.prompt_tokens, *done.tokens]
            logits = full_logits(params, sequence)
            assert logits.std() >= 0.9, "the logits are too small to show a difference"
            scaled = (logits / (request.temperature or 1.0))[len(request.prompt_tokens) - 1 : -1]
            normalized = scaled - np.log(np.exp(scaled).sum(-1, keepdims=True))
            expected = normalized[np.arange(len(done.tokens)), done.tokens]
            assert np.abs(done.logprobs - expected).max() <= 1e-5 * max(1, np.abs(scaled).max())

    return check


@pytest.mark.parametrize("temperature", [0.0, 1.0, 0.7])
def test_tokens_for_ragged_prompts_equal_naive_loop(
    make_engine, make_requests, params, assert_decodes_like, assert_logprobs_are_teacher_forced, temperature
):
    requests = make_requests(11, temperature)
    completions = make_engine().generate(requests)
    assert_decodes_like(params, requests, completions)
    assert_logprobs_are_teacher_forced(params, requests, completions)


def test_one_call_mixing_temperatures_and_budgets_equals_naive_loop(
    make_engine, make_requests, params, assert_decodes_like, assert_logprobs_are_teacher_forced
):
    requests = [
        replace(request, temperature=(0.0, 0.5, 1.3)[request.id % 3], max_new_tokens=1 + request.id % 7)
        for request in make_requests(12)
    ]
    completions = make_engine().generate(requests)
    assert_decodes_like(params, requests, completions)
    assert_logprobs_are_teacher_forced(params, requests, completions)


def test_parity_with_stale_weights_fails(make_engine, make_requests, make_params, assert_decodes_like):
    requests = make_requests(6, temperature=0.0)
    completions = make_engine().generate(requests)
    with pytest.raises(AssertionError):
        assert_decodes_like(make_params(1), requests, completions)


def test_logprobs_of_stale_weights_fail(
    make_engine, make_requests, make_params, assert_logprobs_are_teacher_forced
):
    requests = make_requests(6)
    completions = make_engine().generate(requests)
    with pytest.raises(AssertionError):
        assert_logprobs_are_teacher_forced(make_params(1), requests, completions)


def test_logprobs_with_cache_one_position_off_fail(
    monkeypatch, make_engine, make_requests, params, assert_logprobs_are_teacher_forced
):
    real = prefill_module.admit

    def misplaced(shape, state, cache, admission):
        shifted = jax.jit(lambda leaf: jax.numpy.roll(leaf, 1, axis=2))
        return real(shape, state, jax.tree.map(shifted, cache), admission)

    monkeypatch.setattr("burnish.sample.inprocess.engine.admit", misplaced)
    requests = make_requests(6)
    completions = make_engine().generate(requests)
    with pytest.raises(AssertionError):
        assert_logprobs_are_teacher_forced(params, requests, completions)


def _by_id(completions):
    return {done.request_id: (done.tokens.tolist(), done.logprobs.tobytes()) for done in completions}


def test_tokens_over_slots_mates_and_arrival_are_bit_identical(make_engine, make_requests):
    engine, requests = make_engine(), make_requests(20)
    together = _by_id(engine.generate(requests))
    backwards = _by_id(engine.generate(requests[::-1]))
    alone = _by_id(done for request in requests[:5] for done in engine.generate([request]))
    assert together == backwards
    assert alone == {index: together[index] for index in range(5)}


def test_tokens_with_key_of_slot_depend_on_arrival(make_engine, make_requests):
    engine, requests = make_engine(), make_requests(20)

    def keyed_by_slot(some):
        return [replace(request, key_words=(0, 1, 0, 2, slot)) for slot, request in enumerate(some)]

    together = _by_id(engine.generate(keyed_by_slot(requests)))
    backwards = _by_id(engine.generate(keyed_by_slot(requests[::-1])))
    assert together != backwards


def test_requests_with_one_prompt_share_prefill_and_draw_their_own_tokens(
    make_engine, make_requests, params, assert_decodes_like
):
    prompt = make_requests(1)[0].prompt_tokens
    requests = [replace(request, prompt_tokens=prompt) for request in make_requests(16)]
    completions = make_engine(prefill_rows=2).generate(requests)
    assert_decodes_like(params, requests, completions)
    assert len({tuple(done.tokens.tolist()) for done in completions}) > 8


def test_steps_with_other_key_words_draw_other_tokens(make_engine, make_requests):
    engine = make_engine()
    first = _by_id(engine.generate(make_requests(8, step=1)))
    assert first == _by_id(engine.generate(make_requests(8, step=1)))
    assert first != _by_id(engine.generate(make_requests(8, step=2)))


@pytest.mark.parametrize("axes", [{"dp": 2}, {"fsdp": 4}, {"dp": 2, "fsdp": 2, "tp": 2}])
def test_tokens_over_devices_equal_naive_loop(
    make_engine, make_requests, make_mesh, params, assert_decodes_like, axes
):
    requests = make_requests(19)
    engine = make_engine(make_mesh(**axes))
    completions = engine.generate(requests)
    assert_decodes_like(params, requests, completions)
    devices = int(np.prod(list(axes.values())))
    num_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    assert engine.stats().summary()["weight_sync_bytes"] == devices * num_bytes


def test_completions_carry_version_of_their_weights(
    make_engine, make_requests, make_params, assert_decodes_like
):
    engine, requests = make_engine(), make_requests(4)
    before = engine.generate(requests)
    newer = make_params(1)
    engine.update_weights(Weights(7, newer))
    after = engine.generate(requests)
    assert engine.version == 7
    assert {done.weight_version for done in before} == {0}
    assert {done.weight_version for done in after} == {7}
    assert_decodes_like(newer, requests, after)


def test_weights_already_in_place_share_their_buffers(make_engine):
    engine = make_engine()
    placed = jax.jit(lambda tree: tree)(engine._params)
    engine.stats()
    engine.update_weights(Weights(1, placed))
    pointers = [
        [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(tree)] for tree in (placed, engine._params)
    ]
    assert pointers[0] == pointers[1]
    assert engine.stats().summary()["weight_sync_bytes"] == 0


def test_finish_reason_tells_end_token_from_budget_and_broken_weights(make_engine, make_requests, params):
    engine = make_engine()
    completions = engine.generate(make_requests(40))
    for done in completions:
        assert done.finish_reason == ("stop" if done.tokens[-1] == EOS else "length")
        assert EOS not in done.tokens[:-1]
    assert {done.finish_reason for done in completions} == {"stop", "length"}
    engine.update_weights(Weights(1, jax.tree.map(lambda leaf: leaf * np.nan, params)))
    assert {done.finish_reason for done in engine.generate(make_requests(3))} == {"failed"}


def test_nothing_to_do_returns_nothing(make_engine):
    assert make_engine().generate([]) == []


def test_prompts_over_several_chunks_fill_the_engine_to_its_last_token(
    make_engine, params, assert_decodes_like
):
    generator = np.random.default_rng(3)
    requests = [
        Request(
            id=n, prompt_tokens=generator.integers(0, EOS, n).tolist(), max_new_tokens=24 - n, temperature=0.0
        )
        for n in (1, 4, 5, 12, 20, 23)
    ]
    assert_decodes_like(params, requests, make_engine(prefill_tokens=4).generate(requests))


def test_request_longer_than_engine_is_refused_with_numbers(make_engine):
    request = Request(id=3, prompt_tokens=[1] * 20, max_new_tokens=5)
    with pytest.raises(DataError, match=r"request 3 needs 20 prompt \+ 5 new = 25 tokens.* room for 24"):
        make_engine().generate([request])
    for shorter in ({"prompt_tokens": [1] * 19}, {"max_new_tokens": 4}):
        make_engine().generate([replace(request, **shorter)])


@pytest.mark.parametrize("change", [{"prompt_tokens": []}, {"max_new_tokens": 0}])
def test_request_without_tokens_is_refused(make_engine, make_requests, change):
    with pytest.raises(DataError, match="must be 1 or more"):
        make_engine().generate([replace(make_requests(1)[0], **change)])


def test_slots_not_divisible_by_devices_are_refused_with_what_would_be(make_engine, make_mesh):
    with pytest.raises(
        ConfigError, match=r"`engine.slots` is 6, not divisible by the 4 .* use 4 or 8"
    ) as caught:
        make_engine(make_mesh(dp=4), slots=6)
    for slots in re.search(r"use (\d+) or (\d+)$", str(caught.value)).groups():
        make_engine(make_mesh(dp=4), slots=int(slots))


def test_a_model_of_one_score_per_token_is_refused(make_engine):
    with pytest.raises(ConfigError, match="engine: this model gives one score per token and no logits"):
        make_engine(head=scalar_head)

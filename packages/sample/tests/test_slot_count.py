"""How many slots `slots=auto` takes: enough, few shapes, whole devices, and what the memory holds."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from burnish.sample.inprocess.slot_count import MOST_PER_DEVICE, most_per_device, slots_for
from burnish.sample.inprocess.state import ROW_AXES

SHARDS = (1, 2, 3, 8)


@pytest.mark.fast
@pytest.mark.parametrize("shards", SHARDS)
def test_slots_hold_all_requests_and_at_most_a_quarter_more_rows(shards):
    for count in range(1, MOST_PER_DEVICE * shards + 1):
        slots = slots_for(count, shards)
        rows = -(-count // shards)
        assert slots % shards == 0
        assert count <= slots <= shards * max(rows, 1.25 * rows)


@pytest.mark.fast
def test_slots_of_any_number_of_requests_are_few_numbers():
    found = {slots_for(count, 1) for count in range(1, 10 * MOST_PER_DEVICE)}
    assert len(found) == 28
    assert max(found) == MOST_PER_DEVICE


@pytest.mark.fast
@pytest.mark.parametrize(("count", "slots"), [(0, 1), (1, 1), (16, 16), (17, 20), (100, 112), (300, 256)])
def test_slots_by_hand(count, slots):
    assert slots_for(count, 1) == slots
    assert slots_for(count, 1, most_per_device=8) == min(slots, 8)


@pytest.fixture
def shape_on(make_engine):
    """Return a maker of the shape of an engine on devices that tell how much memory they have."""

    def make(*bytes_limits):
        devices = [
            SimpleNamespace(memory_stats=lambda limit=limit: limit and {"bytes_limit": limit})
            for limit in bytes_limits
        ]
        mesh = SimpleNamespace(local_devices=devices, shape=dict.fromkeys(ROW_AXES, 1))
        return replace(make_engine(max_tokens=24).shape, mesh=mesh)

    return make


def test_caches_of_all_slots_take_a_quarter_of_the_smallest_device(shape_on, model):
    per_slot = sum(leaf.nbytes for leaf in jax.tree.leaves(model.init_cache(1, 24, np.dtype("float32"))))
    for rows in (2, 10, 100, 200):
        shape = shape_on(4 * rows * per_slot, 10**12)
        slots = most_per_device(shape)
        assert slots + min(slots, shape.prefill_rows) in (rows, rows - 1)
        assert most_per_device(shape_on(4 * rows * per_slot - 1)) <= slots
    assert most_per_device(shape_on(1)) == 1


def test_twin_a_device_that_tells_nothing_limits_nothing(shape_on):
    assert most_per_device(shape_on(None)) == MOST_PER_DEVICE
    assert most_per_device(shape_on(10**15)) == MOST_PER_DEVICE


@pytest.mark.parametrize("count", [1, 5, 21])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_tokens_with_automatic_slots_equal_those_with_any_other_number(
    make_engine, make_requests, count, temperature
):
    requests = make_requests(count, temperature)
    automatic, fixed = (make_engine(slots=slots).generate(requests) for slots in ("auto", 8))
    for one, other in zip(automatic, fixed, strict=True):
        np.testing.assert_array_equal(one.tokens, other.tokens)
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-5)


def test_automatic_slots_over_devices_equal_those_of_one(make_engine, make_requests, make_mesh):
    requests = make_requests(13)
    one, four = (make_engine(make_mesh(dp=dp), slots="auto").generate(requests) for dp in (1, 4))
    assert [done.tokens.tolist() for done in one] == [done.tokens.tolist() for done in four]


def test_automatic_slots_idle_less_than_many(make_engine, make_requests):
    used = {}
    for slots in ("auto", 64):
        engine = make_engine(slots=slots, eos_token_ids=())
        engine.generate(make_requests(12))
        used[slots] = engine.stats().summary()["utilization"]
    assert used == {"auto": 1.0, 64: 12 / 64}


def test_a_rollout_and_an_evaluation_of_other_sizes_compile_once_each(
    make_engine, make_requests, count_compiles
):
    engine = make_engine(max_tokens=31, slots="auto")
    engine.generate(make_requests(40, temperature=0.0))
    engine.generate(make_requests(12))
    count_compiles()
    for step in range(3):
        engine.generate(make_requests(12, step=step))
        engine.generate(make_requests(38, temperature=0.0))
    assert count_compiles() == 0


def test_twin_a_size_that_has_not_been_asked_for_compiles(make_engine, make_requests, count_compiles):
    engine = make_engine(max_tokens=32, slots="auto")
    engine.generate(make_requests(12))
    count_compiles()
    engine.generate(make_requests(13))
    assert count_compiles() > 0


def test_prefilling_is_compiled_once_for_all_sizes_of_calls(make_engine, make_requests, count_compiles):
    """A second size brings what allocates the slots, what admits and what decodes."""
    engine = make_engine(max_tokens=33, slots="auto", prefill_rows=4)
    engine.generate(make_requests(12))
    count_compiles()
    engine.generate(make_requests(24))
    assert count_compiles() == 3

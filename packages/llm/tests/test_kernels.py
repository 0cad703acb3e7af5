"""Kernels of every platform against the kit, faults that it finds, and blocks: how many, how large."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.attention import AttentionSpec, attention
from burnish.llm.attention_choice import attention_of, decisions_for
from burnish.llm.config.family import Qwen2
from burnish.llm.families.layers import Compute
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.kernels.choice import Named, case_of
from burnish.llm.kernels.chunked import (
    BLOCK_OF_ACCELERATORS,
    LARGEST_BLOCK,
    SMALLEST_BLOCK,
    ChunkedAttention,
    block_of,
)
from burnish.llm.kernels.dense import DenseAttention
from burnish.llm.micro_batches import place
from burnish.llm.sharding import parameter_shardings
from burnish.llm.testing import scaled_params, tiny_qwen2_config
from burnish.llm.testing_attention import SPECS, AttentionTests, inputs, span_of, spans
from burnish.llm.testing_scores import assert_same_scores, laid_out, score
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.device.mesh import build_mesh
from burnish.platform.errors import ConfigError

PLAIN = SPECS["plain"]


class TestAllScores(AttentionTests):
    kernel = DenseAttention()


class TestBlocks(AttentionTests):
    kernel = ChunkedAttention(16)


class TestOneBlock(AttentionTests):
    kernel = ChunkedAttention(64)


@dataclasses.dataclass(frozen=True)
class Faulty:
    """The blocks with one fault."""

    fault: str

    def refuses(self, case):
        return "it refuses branches" if self.fault == "refuses" and case.has_branches else None

    def __call__(self, qkv, span, case):
        qkv, span, case, factor = FAULTS[self.fault](qkv, span, case)
        return ChunkedAttention(16)(qkv, span, case) * factor


def with_spec(case, **changes):
    return dataclasses.replace(case, spec=dataclasses.replace(case.spec, **changes))


def unseen(span):
    return span._replace(segment_ids=jnp.ones_like(span.segment_ids))


@jax.custom_vjp
def without_gradient(array):
    return array


without_gradient.defvjp(lambda array: (array, None), lambda _, cotangent: (cotangent * jnp.nan,))

FAULTS = {
    "none": lambda *given: (*given, 1),
    "refuses": lambda *given: (*given, 1),
    "segments": lambda qkv, span, case: (qkv, unseen(span), case, 1),
    "branches": lambda qkv, span, case: (qkv, span._replace(visible_until=None), case, 1),
    "positions": lambda qkv, span, case: (qkv, span._replace(positions=spans()["whole"].positions), case, 1),
    "window": lambda qkv, span, case: (qkv, span, with_spec(case, window=(case.spec.window or 99) + 1), 1),
    "cap": lambda qkv, span, case: (qkv, span, with_spec(case, softcap=None), 1),
    "scale": lambda qkv, span, case: (qkv, span, with_spec(case, scale=case.spec.scale * 1.001), 1),
    "heads": lambda qkv, span, case: (qkv._replace(keys=qkv.keys[:, :, ::-1]), span, case, 1),
    "keys": lambda qkv, span, case: (qkv._replace(keys=jax.lax.stop_gradient(qkv.keys)), span, case, 1),
    "NaN": lambda qkv, span, case: (qkv._replace(keys=without_gradient(qkv.keys)), span, case, 1),
    "padding": lambda qkv, span, case: (
        qkv,
        span,
        case,
        jnp.where(span.segment_ids > 0, 1, jnp.nan)[..., None, None],
    ),
}


@pytest.mark.parametrize(
    ("fault", "spec", "layout"),
    [
        ("segments", "plain", "packed"),
        ("segments", "plain", "left"),
        ("branches", "plain", "branches"),
        ("positions", "a short window", "branches"),
        ("window", "a short window", "whole"),
        ("window", "a long window", "whole"),
        ("cap", "capped", "whole"),
        ("scale", "plain", "whole"),
        ("keys", "plain", "whole"),
        ("NaN", "plain", "whole"),
    ],
)
def test_a_fault_is_found_and_its_absence_passes(fault, spec, layout):
    def run(kernel):
        kit = AttentionTests()
        kit.kernel = kernel
        kit.test_values_and_gradients_are_those_of_all_scores(SPECS[spec], layout)

    run(Faulty("none"))
    with pytest.raises(AssertionError):
        run(Faulty(fault))


def test_heads_that_are_swapped_and_padding_that_is_not_finite_are_found():
    kit = AttentionTests()
    kit.kernel = Faulty("heads")
    with pytest.raises(AssertionError):
        kit.test_query_heads_share_key_heads((4, 2))
    kit.kernel = Faulty("padding")
    with pytest.raises(AssertionError, match="finite"):
        kit.test_rows_of_padding_are_finite_with_zero_gradients("padding")


def test_what_a_kernel_refuses_is_skipped_with_its_reason():
    kit = AttentionTests()
    kit.kernel = Faulty("refuses")
    with pytest.raises(pytest.skip.Exception, match="it refuses branches"):
        kit.test_values_and_gradients_are_those_of_all_scores(PLAIN, "branches")


def test_blocks_that_are_split_over_devices_give_one_loss():
    models = [
        Qwen2().build(FamilyContext(hf_config=tiny_qwen2_config(64), compute=Compute(unroll=1, **kernel)))
        for kernel in ({}, {"attention": Named("chunked", ChunkedAttention(16), num_devices=8)})
    ]
    params, devices = scaled_params(models[0]), build_mesh(2, 2, 2)
    placed = jax.device_put(params, parameter_shardings(models[1], devices))
    batch = laid_out(per_row=3)
    split = score(models[1], placed, place(batch, devices), mesh=devices)
    assert_same_scores(split, score(models[0], params, laid_out()))
    shuffled = dataclasses.replace(batch, segment_ids=np.roll(batch.segment_ids, 1, axis=0))
    with pytest.raises(AssertionError):
        assert_same_scores(score(models[1], placed, place(shuffled, devices), mesh=devices), split)


def test_a_named_kernel_that_computes_something_else_is_refused_at_the_start():
    def decided(fault, word="mine"):
        choice = Named(word, Faulty(fault))
        model = Qwen2().build(
            FamilyContext(hf_config=tiny_qwen2_config(64), compute=Compute(attention=choice))
        )
        return decisions_for(model, "float32")

    with pytest.raises(ConfigError, match=r"=mine does not compute .*: its values are .* from"):
        decided("scale")
    assert {each.name for each in decided("none")} == {"mine"}
    for word in ("auto", "xla", "chunked"):
        assert attention_of(word, None, Artifacts())


def of_length(length):
    """Return one row of one sequence."""
    (qkv, cotangent), span = inputs(rows=1, length=length), span_of(np.ones((1, length), int), None, 1)
    return qkv, cotangent, span._replace(max_segments=None)


def temporary_bytes(kernel, length):
    """Return what value and gradients need beside their arguments."""
    qkv, cotangent, span = of_length(length)

    def total(qkv):
        return jnp.vdot(kernel(qkv, span), cotangent)

    return jax.jit(jax.grad(total)).lower(qkv).compile().memory_analysis().temp_size_in_bytes


def test_memory_grows_with_the_length_and_that_of_all_scores_with_its_square():
    def blocks(qkv, span):
        return ChunkedAttention(64)(qkv, span, case_of(qkv, span, PLAIN))

    def all_scores(qkv, span):
        return attention(qkv, span, PLAIN)

    assert temporary_bytes(blocks, 2048) < 2.2 * temporary_bytes(blocks, 1024)
    assert temporary_bytes(all_scores, 2048) > 3.5 * temporary_bytes(all_scores, 1024)
    assert 20 * temporary_bytes(blocks, 2048) < temporary_bytes(all_scores, 2048)


def num_pairs(spec, length=512, block=64):
    """Return how many pairs of blocks the forward pass goes through."""
    qkv, _, span = of_length(length)
    case = case_of(qkv, span, spec)
    traced = jax.make_jaxpr(lambda qkv: ChunkedAttention(block)(qkv, span, case))(qkv)
    scans = [each for each in equations(traced.jaxpr) if each.primitive.name == "scan"]
    return scans[0].params["length"]


def equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


@pytest.mark.parametrize(("window", "pairs"), [(None, 36), (65, 8 + 7), (66, 8 + 7 + 6), (1, 8), (512, 36)])
def test_pairs_of_blocks_that_see_nothing_are_left_out(window, pairs):
    assert num_pairs(AttentionSpec(scale=0.4, window=window)) == pairs


@pytest.mark.parametrize(
    ("rows", "length", "block"),
    [(1, 17, 17), (1, 257, 86), (1, 4096, LARGEST_BLOCK), (64, 512, SMALLEST_BLOCK), (10**6, 65, 33)],
)
def test_blocks_are_of_one_length_and_on_a_cpu_smaller_for_more_rows(rows, length, block):
    case = dataclasses.replace(case_of(inputs()[0], spans()["whole"], PLAIN), rows=rows, length=length)
    assert block_of(case) == block
    assert block_of(dataclasses.replace(case, platform="gpu")) == min(length, BLOCK_OF_ACCELERATORS)

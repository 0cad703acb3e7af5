"""Kernels of accelerators without one: `splash` step by step, `cudnn` by what is asked of the library."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.cudnn import fused_attention_stablehlo as library

from burnish.llm.attention import AttentionSpec
from burnish.llm.config.family import Gemma2
from burnish.llm.families.layers import Compute
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.kernels.choice import Named, case_of
from burnish.llm.kernels.cudnn import CuDNNAttention, offsets_of
from burnish.llm.kernels.splash import SplashAttention
from burnish.llm.testing import scaled_params
from burnish.llm.testing_attention import (
    SPECS,
    AttentionTests,
    by_all_scores,
    distance,
    inputs,
    spans,
    values_and_gradients,
)
from burnish.llm.testing_scores import assert_same_scores, laid_out, score

HOPPER = {"platform": "gpu", "compute_capability": (9, 0), "dtype": "bfloat16"}


class TestSplash(AttentionTests):
    kernel = SplashAttention(interprets=True)


GEMMA2 = {
    "model_type": "gemma2",
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 48,
    "sliding_window": 6,
    "query_pre_attn_scalar": 16,
    "attn_logit_softcapping": 20.0,
    "final_logit_softcapping": 30.0,
}


def test_packed_rows_of_a_family_have_by_splash_the_loss_of_rows_apart():
    models = [
        Gemma2().build(FamilyContext(hf_config=GEMMA2, compute=Compute(unroll=1, **kernel)))
        for kernel in ({}, {"attention": Named("splash", SplashAttention(interprets=True))})
    ]
    params = scaled_params(models[0])
    expected = score(models[0], params, laid_out())
    assert_same_scores(score(models[1], params, laid_out(per_row=3)), expected)
    with pytest.raises(AssertionError):
        assert_same_scores(score(models[1], scaled_params(models[1], seed=1), laid_out(per_row=3)), expected)


def case(layout="whole", spec="plain", **changes):
    found = case_of(inputs()[0], spans()[layout], SPECS[spec])
    return dataclasses.replace(found, **{**HOPPER, **changes})


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (case(compute_capability=None, platform="cpu"), "needs an NVIDIA GPU of compute capability 8.0"),
        (case(compute_capability=(7, 5)), "needs an NVIDIA GPU of compute capability 8.0"),
        (case(dtype="float32"), "the model in float32"),
        (case(head_dim=264), "heads of 8, 16, ... 256 dims"),
        (case(head_dim=136, compute_capability=(8, 0)), "heads of 8, 16, ... 128 dims"),
        (case(head_dim=12), "the model's have 12"),
        (case(spec="capped"), "no soft-cap"),
        (case("branches"), "hide a branch"),
        (case(max_segments=None), "how many sequences"),
        (case("packed", compute_capability=(8, 9)), "packed rows need compute capability 9.0"),
        (case("packed", num_devices=2), "packed rows are computed on one device alone"),
    ],
)
def test_cudnn_refuses_what_it_does_not_compute(asked, reason):
    assert reason in (CuDNNAttention().refuses(asked) or "")


@pytest.mark.parametrize(
    "asked",
    [
        case(),
        case("packed", spec="a short window"),
        case(dtype="float16", compute_capability=(8, 0)),
        case(head_dim=256),
        case(num_devices=2),
    ],
)
def test_cudnn_refuses_nothing_else(asked):
    assert CuDNNAttention().refuses(asked) is None


@pytest.fixture
def as_on_a_hopper(monkeypatch):
    """Have jax lower for a GPU that is not there."""
    monkeypatch.setattr(library, "check_cudnn_version", lambda: 91000)
    monkeypatch.setattr(library, "check_compute_capability", lambda _: True)


@pytest.mark.usefixtures("as_on_a_hopper")
@pytest.mark.parametrize(
    ("layout", "spec", "most", "window", "num_arguments"),
    [("left", "plain", 1, 0, 5), ("packed", "plain", 3, 0, 7), ("packed", "a short window", 3, 5, 7)],
)
def test_cudnn_is_lowered_to_one_call_forward_and_one_backward(layout, spec, most, window, num_arguments):
    (qkv, cotangent), span = inputs(dtype=jnp.bfloat16), spans()[layout]
    asked = case(layout, spec)

    def pulled(qkv, cotangent):
        return jax.vjp(lambda qkv: CuDNNAttention()(qkv, span, asked), qkv)[1](cotangent)

    lowered = jax.jit(pulled).trace(qkv, cotangent).lower(lowering_platforms=("cuda",)).as_text()
    calls = [line for line in lowered.splitlines() if "custom_call @__cudnn" in line]
    names = [re.search(r"@(__cudnn\$\w+)\(", call).group(1) for call in calls]
    assert names == ["__cudnn$fmhaSoftmax", "__cudnn$fmhaSoftmaxBackward"]
    for call in calls:
        told = call.replace("\\22", "")
        assert "mask_type: PADDING_CAUSAL" in told
        assert f"fmha_scale: {asked.spec.scale}" in told
        assert f"sliding_window_length: {window}," in told
        assert f"max_seg_per_batch: {most}," in told
    assert len(re.search(r"\((.*?)\)", calls[0]).group(1).split(",")) == num_arguments


PLAIN_JAX = jax.nn.dot_product_attention


@pytest.mark.parametrize("spec", ["plain", "a short window", "a long window"])
@pytest.mark.parametrize("layout", ["whole", "left", "padding"])
def test_lengths_for_cudnn_mean_to_jax_what_is_asked_for(monkeypatch, layout, spec):
    """jax computes the same call without cuDNN as well."""

    def without_cudnn(*given, implementation, **options):
        assert implementation == "cudnn"
        return PLAIN_JAX(*given, implementation="xla", **options)

    monkeypatch.setattr(jax.nn, "dot_product_attention", without_cudnn)
    if layout == "padding":
        given, span = inputs(), spans()["padding"]
        found = values_and_gradients(
            lambda qkv: CuDNNAttention()(qkv, span, case(layout, spec)), *given, span
        )
        assert not any(each.any() for each in found)
    else:
        assert_as_by_all_scores(layout, spec)


def by_the_documentation(*qkv, q_seqlen, kv_seqlen, q_offsets, kv_offsets, scale, mask_type, **options):
    """Compute what the library is asked for; what it leaves unwritten is not a number."""
    assert mask_type is library.MaskType.PADDING_CAUSAL
    assert q_seqlen is kv_seqlen
    assert q_offsets is kv_offsets
    assert q_offsets.shape[1] == q_seqlen.shape[1] + 1
    indices = jnp.arange(qkv[0].shape[1])[None, None]
    ends = q_offsets[:, :-1] + q_seqlen
    inside = (indices >= q_offsets[:, :-1, None]) & (indices < ends[..., None]) & (q_seqlen[..., None] >= 0)
    together = jnp.any(inside[:, :, :, None] & inside[:, :, None, :], axis=1)
    window = options["sliding_window_length"] or indices.size
    apart = indices[:, 0, :, None] - indices
    mask = together & (apart >= 0) & (apart < window)
    found = PLAIN_JAX(*qkv, mask=mask[:, None], scale=scale)
    return jnp.where(jnp.any(inside, axis=1)[..., None, None], found, jnp.nan)


@pytest.mark.parametrize("spec", ["plain", "a short window", "a long window"])
def test_offsets_for_cudnn_mean_by_its_documentation_what_is_asked_for(monkeypatch, spec):
    monkeypatch.setattr(library, "dot_product_attention", by_the_documentation)
    assert_as_by_all_scores("packed", spec)


def assert_as_by_all_scores(layout, spec):
    given, span = inputs(), spans()[layout]

    def found(asked):
        return values_and_gradients(lambda qkv: CuDNNAttention()(qkv, span, asked), *given, span)

    expected = by_all_scores(*given, span, SPECS[spec])
    assert distance(found(case(layout, spec)), expected) < 2e-6
    other = dataclasses.replace(case(layout, spec), spec=AttentionSpec(scale=0.4, window=9))
    assert distance(found(other), expected) > 1e-3


def test_offsets_and_lengths_are_those_of_the_segments():
    segment_ids = np.array([[0, 0, 1, 1, 1], [1, 2, 2, 0, 0], [0, 0, 0, 0, 0]])
    offsets, lengths = offsets_of(jnp.asarray(segment_ids), 3)
    assert offsets.tolist() == [[2, -1, -1, -1], [0, 1, -1, -1], [-1, -1, -1, -1]]
    assert lengths.tolist() == [[3, -1, -1], [1, 2, -1], [-1, -1, -1]]
    assert offsets.dtype == lengths.dtype == jnp.int32

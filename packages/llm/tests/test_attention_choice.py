"""Which kernel computes attention: by its name, or by what suits the case and passes its probe."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.attention import QKV, AttentionSpec, Span, attention
from burnish.llm.attention_choice import attention_of
from burnish.llm.kernels.choice import FUSED, MOST_SCORE_BYTES, Auto, case_of, decide, heard
from burnish.llm.kernels.chunked import ChunkedAttention
from burnish.llm.kernels.probe import disparity
from burnish.llm.kernels.splash import SplashAttention
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig, MeshConfig

SPEC = AttentionSpec(scale=0.3, window=7, softcap=5.0)
LENGTH = 24


def inputs(rows=2, length=LENGTH, dtype=jnp.float32):
    generator = np.random.default_rng(0)
    queries, keys, values = (generator.standard_normal((rows, length, heads, 8)) for heads in (4, 2, 2))
    ones = jnp.ones((rows, length), jnp.int32)
    span = Span(jnp.cumsum(ones, axis=1) - 1, ones, max_segments=1)
    return QKV(*(jnp.asarray(each, dtype) for each in (queries, keys, values))), span


def case(**changes):
    return dataclasses.replace(case_of(*inputs(), SPEC), **changes)


def test_short_rows_on_a_cpu_hold_all_scores_and_long_ones_are_computed_in_blocks():
    for length, name in ((LENGTH, "xla"), (2048, "chunked")):
        decision = decide(FUSED, case(length=length))
        assert decision.name == name
        assert [other for other, _ in decision.passed_over] == ["cudnn", "splash"]
    assert case(length=LENGTH).score_bytes < MOST_SCORE_BYTES < case(length=2048).score_bytes
    assert decide(FUSED, case(length=2048, platform="gpu")).name == "xla"
    assert decide(FUSED, case(length=8192, platform="gpu")).name == "chunked"
    said = str(decide(FUSED, case()))
    assert said.startswith(
        "attention by xla (not cudnn: it needs an NVIDIA GPU of compute capability 8.0, and "
    )


def test_where_all_scores_are_held_nothing_is_probed(monkeypatch):
    def probed(*_):
        raise AssertionError("probed")

    monkeypatch.setattr("burnish.llm.kernels.choice.disparity", probed)
    assert decide(FUSED, case(rows=3)).name == "xla"
    with pytest.raises(AssertionError, match="probed"):
        decide(FUSED, case(rows=3, length=4096))


@dataclasses.dataclass(frozen=True)
class Faulty:
    """A kernel that computes something else, or nothing."""

    fault: str

    def refuses(self, _):
        return None

    def __call__(self, qkv, span, case):
        return FAULTS[self.fault](qkv, span, case)


def without_padding(qkv, span, case):
    return attention(qkv, span._replace(segment_ids=jnp.ones_like(span.segment_ids)), case.spec)


def with_spec(**changes):
    return lambda qkv, span, case: attention(qkv, span, dataclasses.replace(case.spec, **changes))


def without_gradients_of_keys(qkv, span, case):
    return attention(qkv._replace(keys=jax.lax.stop_gradient(qkv.keys)), span, case.spec)


def raising(*_):
    raise NotImplementedError("no such\ndevice")


FAULTS = {
    "segments": without_padding,
    "window": with_spec(window=None),
    "cap": with_spec(softcap=None),
    "scale": with_spec(scale=0.31),
    "gradients": without_gradients_of_keys,
    "not a number": lambda qkv, span, case: attention(qkv, span, case.spec) * jnp.nan,
    "branches": lambda qkv, span, case: attention(qkv, span._replace(visible_until=None), case.spec),
    "failure": raising,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_kernel_with_a_fault_does_not_pass_its_probe_and_another_one_computes(fault):
    asked = case(max_segments=None, has_branches=fault == "branches")
    decision = decide((("theirs", Faulty(fault)),), asked)
    assert decision.name == "xla"
    [(name, reason)] = decision.passed_over
    assert name == "theirs"
    assert "\n" not in reason
    assert ("fails in its probe: NotImplementedError: no such device" in reason) == (fault == "failure")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kernel", [ChunkedAttention(8), SplashAttention(interprets=True)], ids=str)
def test_a_kernel_without_fault_passes_its_probe(kernel, dtype):
    for asked in (case(dtype=dtype, max_segments=1), case(dtype=dtype, max_segments=None, length=300)):
        assert disparity(kernel, asked) is None
    assert decide((("theirs", kernel),), asked).name == "theirs"


def test_the_probe_of_a_large_case_is_small():
    large = case(rows=512, length=8192, spec=dataclasses.replace(SPEC, window=4096))
    assert disparity(ChunkedAttention(), large) is None


def test_kernels_are_chosen_and_probed_inside_of_a_trace():
    choice, (qkv, span) = Auto(fused=(("theirs", ChunkedAttention(8)),)), inputs()

    def layers(values):
        def body(values, _):
            return choice(qkv._replace(queries=values), span, SPEC), None

        return jax.lax.scan(jax.checkpoint(body), values, length=2)[0].sum()

    with heard() as decisions:
        gradient = jax.jit(jax.grad(layers))(qkv.queries)
    assert np.isfinite(gradient).all()
    assert {decision.name for decision in decisions()} == {"theirs"}


def test_rows_that_share_prefixes_go_to_the_next_kernel():
    fused = (("splash", SplashAttention(interprets=True)),)
    assert decide(fused, case()).name == "splash"
    decision = decide(fused, case(has_branches=True))
    assert decision.name == "xla"
    assert "hide a branch" in dict(decision.passed_over)["splash"]


def test_the_devices_of_the_mesh_are_a_part_of_the_case():
    config = JaxConfig(mesh=MeshConfig(dp=2, tp=2))
    assert attention_of("auto", config, Artifacts()) == Auto(num_devices=4)
    assert attention_of("xla", config, Artifacts()).num_devices == 4
    assert "one device" in SplashAttention(interprets=True).refuses(case(num_devices=4))

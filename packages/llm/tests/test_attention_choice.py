"""Which kernel computes attention: by its name, or by what suits the case and passes its probe."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.attention import QKV, AttentionSpec, Span, attention
from burnish.llm.attention_choice import attention_of, decisions_for
from burnish.llm.bundle import ModelContext, load_bundle
from burnish.llm.config.model import Pretrained, Tiny
from burnish.llm.config.tokenizer import ByteTokenizer
from burnish.llm.kernels.choice import FUSED, MOST_SCORE_BYTES, Auto, case_of, decide, heard
from burnish.llm.kernels.chunked import ChunkedAttention
from burnish.llm.kernels.probe import disparity
from burnish.llm.kernels.splash import SplashAttention
from burnish.llm.received import ReceivedModel
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.configuration.config import JaxConfig, MeshConfig
from burnish.platform.errors import ComponentError, ConfigError
from burnish.platform.testing import KeptRows, make_run

SPEC = AttentionSpec(scale=0.3, window=7, softcap=5.0)
LENGTH = 24

THEIRS = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Kernel:
    def refuses(self, case):
        return "it takes eight heads" if case.num_heads != 8 else None

    def __call__(self, qkv, span, case):
        from burnish.llm.attention import attention
        return attention(qkv, span, case.spec)

@dataclass(frozen=True, kw_only=True)
class Theirs:
    def build(self, context):
        return Kernel()
"""
SMALL = {"hidden_size": 32, "num_layers": 1, "intermediate_size": 48}


def inputs(rows=2, length=LENGTH, dtype=jnp.float32):
    generator = np.random.default_rng(0)
    queries, keys, values = (generator.standard_normal((rows, length, heads, 8)) for heads in (4, 2, 2))
    ones = jnp.ones((rows, length), jnp.int32)
    span = Span(jnp.cumsum(ones, axis=1) - 1, ones, max_segments=1)
    return QKV(*(jnp.asarray(each, dtype) for each in (queries, keys, values))), span


def case(**changes):
    return dataclasses.replace(case_of(*inputs(), SPEC), **changes)


def loaded(**options):
    return load_bundle(Tiny(**SMALL, **options), ModelContext(tokenizer=ByteTokenizer()))


def test_short_rows_on_a_cpu_hold_all_scores_and_long_ones_are_computed_in_blocks():
    for length, name in ((LENGTH, "xla"), (2048, "chunked")):
        decision = decide(FUSED, case(length=length))
        assert decision.name == name
        assert [other for other, _ in decision.passed_over] == ["cudnn", "splash"]
    assert case(length=LENGTH).score_bytes < MOST_SCORE_BYTES < case(length=2048).score_bytes
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


def test_a_named_kernel_that_refuses_is_one_line_and_what_it_says_helps():
    said = []
    for word in ("splash", "cudnn"):
        with pytest.raises(ConfigError) as caught:
            attention_of(word, None, Artifacts())(*inputs(), SPEC)
        said.append(str(caught.value))
        assert said[-1].startswith(f"model.attention={word} cannot compute this: it needs a")
        assert said[-1].endswith("set model.attention=auto, or xla or chunked, which compute everything")
        assert "\n" not in said[-1]
    found = [attention_of(word, None, Artifacts())(*inputs(), SPEC) for word in ("auto", "xla", "chunked")]
    assert max(np.abs(one - found[0]).max() for one in found) < 1e-5


def test_the_devices_of_the_mesh_are_a_part_of_the_case():
    config = JaxConfig(mesh=MeshConfig(dp=2, tp=2))
    assert attention_of("auto", config, Artifacts()) == Auto(num_devices=4)
    assert attention_of("xla", config, Artifacts()).num_devices == 4
    assert "one device" in SplashAttention(interprets=True).refuses(case(num_devices=4))


def test_a_model_is_computed_by_the_kernel_that_is_named():
    models = {word: loaded(attention=word).model for word in ("auto", "xla", "chunked")}
    assert models["auto"] != models["xla"] != models["chunked"]
    for word, model in models.items():
        [decision] = decisions_for(model, "float32")
        assert decision.name == {"auto": "xla"}.get(word, word)


def test_a_hand_over_keeps_the_kernel(tmp_path):
    for model in (Tiny(attention="chunked"), Pretrained(name_or_path="elsewhere", attention="chunked")):
        assert model.handed_over(str(tmp_path)).attention == "chunked"


def test_a_wheel_adds_a_kernel(distribution):
    distribution(
        "their-wheel", {"attention": {"theirs": "their_wheel:Theirs"}}, {"their_wheel.py": THEIRS}, "2.0"
    )
    bundle = loaded(attention="theirs", num_heads=8)
    assert [found.name for found in decisions_for(bundle.model, "float32")] == ["theirs"]
    [_, found] = bundle.components
    assert (found.slot, found.name, found.distribution, found.version) == (
        "attention",
        "theirs",
        "their-wheel",
        "2.0",
    )
    by_path = loaded(attention="their_wheel:Theirs", num_heads=8).model
    assert [found.name for found in decisions_for(by_path, "float32")] == ["their_wheel:Theirs"]
    with pytest.raises(
        ConfigError, match=r"^model\.attention=theirs cannot compute this: it takes eight heads;"
    ):
        decisions_for(loaded(attention="theirs").model, "float32")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import nothing_of_this_name", "fails to import: ModuleNotFoundError"),
        (THEIRS.replace("def refuses", "def refused"), "builds a Kernel, which lacks refuses"),
        (THEIRS.replace("class Theirs:", "class Theirs:\n    x: int"), "cannot be made without options"),
        (THEIRS.replace("def build(self, context)", "def build(self)"), "has build()"),
    ],
)
def test_a_kernel_that_cannot_be_used_is_named_with_its_wheel(distribution, source, why):
    distribution(
        "broken-wheel", {"attention": {"theirs": "broken_wheel:Theirs"}}, {"broken_wheel.py": source}
    )
    with pytest.raises(ComponentError) as caught:
        loaded(attention="theirs")
    said = str(caught.value)
    assert said.startswith("model.attention=theirs: attention 'theirs'")
    assert why in said
    assert "\n" not in said


def test_a_kernel_that_nobody_has_installed_is_refused():
    with pytest.raises(ComponentError) as caught:
        loaded(attention="chunk")
    assert str(caught.value).startswith(
        "model.attention=chunk: unknown attention 'chunk' (did you mean 'chunked'?); installed: chunked ("
    )


class Told(KeptRows):
    """A sink that keeps the lines about the run."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def tell(self, line):
        self.lines.append(line)


@pytest.fixture
def received(tmp_path):
    """Return what a run tells and records of the kernels of a model."""

    def told(**options):
        sink = Told()
        run = make_run(tmp_path / "run", "sft", sink)
        run.root.write_json("run.json", {})
        model = Tiny(**SMALL, **options)
        assert ReceivedModel(run=run, model=model, tokenizer=ByteTokenizer()).bundle.model
        record = json.loads(Path(tmp_path / "run/run.json").read_text(encoding="utf-8"))
        kernels = [found["name"] for found in record["found"]["sft"] if found["slot"] == "attention"]
        return sink.lines, kernels

    return told


def test_a_run_on_an_accelerator_tells_once_what_computes_attention_and_why_nothing_else_does(
    received, monkeypatch
):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    lines, kernels = received()
    [line] = lines
    assert line.startswith("sft: attention by xla (not cudnn: it needs an NVIDIA GPU")
    assert "; not splash: fails in its probe: " in line
    assert kernels == ["xla"]


def test_a_run_on_a_cpu_tells_nothing_and_records_what_is_named(received):
    assert received() == ([], [])


def test_a_run_records_the_kernel_that_is_named(received):
    assert received(attention="chunked") == ([], ["chunked"])

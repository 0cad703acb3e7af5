"""A kernel of attention that is named: of ours or of a wheel; and what a run tells and records of it."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from burnish.llm.attention_choice import attention_of, decisions_for
from burnish.llm.bundle import ModelContext, load_bundle
from burnish.llm.config.model import Pretrained, Tiny
from burnish.llm.config.tokenizer import ByteTokenizer
from burnish.llm.received import ReceivedModel
from burnish.llm.testing_attention import SPECS, inputs, spans
from burnish.platform.cli import exit_status
from burnish.platform.configuration.artifacts import Artifacts
from burnish.platform.errors import ComponentError, ConfigError
from burnish.platform.testing import KeptRows, make_run

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


def loaded(**options):
    return load_bundle(Tiny(**SMALL, **options), ModelContext(tokenizer=ByteTokenizer()))


def computed(word):
    """Return what is computed by what a word stands for."""
    qkv, _ = inputs()
    return attention_of(word, None, Artifacts())(qkv, spans()["whole"], SPECS["plain"])


def test_a_named_kernel_that_refuses_is_one_line_and_what_it_says_helps():
    said = []
    for word in ("splash", "cudnn"):
        with pytest.raises(ConfigError) as caught:
            computed(word)
        said.append(str(caught.value))
        assert said[-1].startswith(f"model.attention={word} cannot compute this: it needs a")
        assert said[-1].endswith("set model.attention=auto, or xla or chunked, which compute everything")
        assert "\n" not in said[-1]
    found = [computed(word) for word in ("auto", "xla", "chunked")]
    assert max(np.abs(one - found[0]).max() for one in found) < 1e-5


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


def test_a_kernel_that_refuses_packed_rows_alone_is_no_error_before_there_are_some(distribution):
    source = THEIRS.replace(
        '"it takes eight heads" if case.num_heads != 8', '"it packs none" if case.max_segments > 1'
    )
    distribution("their-wheel", {"attention": {"theirs": "their_wheel:Theirs"}}, {"their_wheel.py": source})
    model = loaded(attention="theirs").model
    assert [found.name for found in decisions_for(model, "float32")] == ["theirs"]
    qkv, _ = inputs()
    with pytest.raises(ConfigError, match=r"^model\.attention=theirs cannot compute this: it packs none; "):
        model.compute.attention(qkv, spans()["packed"], SPECS["plain"])


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
    assert str(caught.value).endswith("or set it to auto")
    loaded(attention="auto")


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


def test_a_run_on_a_cpu_tells_and_records_nothing(received):
    assert received() == ([], [])


def test_a_run_tells_and_records_the_kernel_that_is_named(received):
    assert received(attention="chunked") == (["sft: attention by chunked"], ["chunked"])


def test_a_run_refuses_a_kernel_that_cannot_compute_its_model_in_one_line(received, capsys):
    assert exit_status("train", lambda _: received(attention="splash"), []) == 2
    assert_refused_by_splash(capsys.readouterr().err)


def test_a_kernel_refuses_a_step_that_is_compiled_in_one_line(capsys):
    model = loaded(attention="splash").model
    ids = np.zeros((1, 4), np.int32)
    forward = jax.jit(lambda params: model.forward(params, ids, ids, ids + 1).hidden)
    assert exit_status("train", lambda _: forward(model.init(0)), []) == 2
    assert_refused_by_splash(capsys.readouterr().err)


def assert_refused_by_splash(line):
    assert line.startswith("train: model.attention=splash cannot compute this: it needs a TPU")
    assert line.endswith("set model.attention=auto, or xla or chunked, which compute everything\n")

"""Which family a model is of, where several match, where one is named, and where one cannot be used."""

import json
from pathlib import Path

import pytest

from burnish.llm.bundle import ModelContext, load_bundle
from burnish.llm.byte_tokenizer import ByteTokenizer as Bytes
from burnish.llm.config.family import Qwen2
from burnish.llm.config.model import Pretrained, Tiny
from burnish.llm.config.tokenizer import AutoTokenizer, ByteTokenizer
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.received import ReceivedModel
from burnish.llm.testing import tiny_qwen2_config
from burnish.llm.tokenizer_files import save_tokenizer
from burnish.llm.weights import save_huggingface
from burnish.platform.errors import ComponentError, ConfigError
from burnish.platform.testing import KeptRows, make_run

pytestmark = pytest.mark.fast

THEIRS = """
from dataclasses import dataclass
from burnish.llm.config.family import Qwen2

@dataclass(frozen=True, kw_only=True)
class Theirs:
    def match(self, hf_config):
        return hf_config.get("model_type") == "qwen2"

    def build(self, context):
        return Qwen2().build(context)
"""
BROKEN = {
    "that fails to import": ("import nothing_of_this_name", "fails to import: ModuleNotFoundError"),
    "that lacks a method": (THEIRS.replace("def match", "def matches"), "lacks match"),
    "whose match fails": (THEIRS.replace("return hf", "return 1 / 0 or hf"), "in `match`: ZeroDivisionError"),
    "that needs an option": (THEIRS.replace("class Theirs:", "class Theirs:\n    x: int"), "without options"),
}


@pytest.fixture
def directory(tmp_path):
    """Return the directory of a Qwen2 with its tokenizer."""
    path = tmp_path / "model"
    path.mkdir()
    model = Qwen2().build(FamilyContext(hf_config=tiny_qwen2_config(vocab_size=260)))
    save_huggingface(path, model, model.init(0), "float32")
    save_tokenizer(Bytes(), path)
    return path


@pytest.fixture
def wheel(distribution):
    """Return what installs a wheel with one family."""

    def install(source=THEIRS, name="theirs", module="their_wheel", version="1.0"):
        family = {"family": {name: f"{module}:Theirs"}}
        distribution(module.replace("_", "-"), family, {f"{module}.py": source}, version)

    return install


def load(directory, **options):
    model = Pretrained(name_or_path=str(directory), **options)
    return load_bundle(model, ModelContext(tokenizer=AutoTokenizer()))


def refused(directory, **options):
    """What is said in one line where a model is refused."""
    with pytest.raises((ConfigError, ComponentError)) as caught:
        load(directory, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def origin(bundle):
    [found] = bundle.components
    return found.slot, found.name, found.distribution, found.version


def test_two_families_that_match_are_a_choice(directory, wheel):
    wheel()
    said = refused(directory)
    assert "the families 'qwen2' (burnish-llm 0.1.0) and 'theirs' (their-wheel 1.0) match" in said
    assert said.endswith("set model.family=qwen2 or model.family=theirs")
    assert origin(load(directory, family="theirs")) == ("family", "theirs", "their-wheel", "1.0")
    assert origin(load(directory, family="qwen2")) == ("family", "qwen2", "burnish-llm", "0.1.0")


def test_two_wheels_with_one_name_for_it_are_a_choice_by_import_path(directory, wheel):
    wheel(name="qwen2")
    said = refused(directory)
    words = said.rpartition("; set ")[2].split(" or ")
    assert words == ["model.family=burnish.llm.config.family:Qwen2", "model.family=their_wheel:Theirs"]
    for word, owner in zip(words, ("burnish-llm", "their-wheel"), strict=True):
        assert origin(load(directory, family=word.partition("=")[2]))[1:3] == ("qwen2", owner)


def test_a_named_family_that_does_not_match_is_refused(directory):
    said = refused(directory, family="llama")
    assert said.startswith("model.family=llama does not match model_type='qwen2' in ")
    assert said.endswith("set model.family=auto")
    assert load(directory, family="auto").model == load(directory, family="qwen2").model


def test_a_family_that_nobody_has_installed_is_refused(directory):
    assert refused(directory, family="qwen22").startswith(
        "model.family=qwen22: unknown family 'qwen22' (did you mean 'qwen2'?); installed: "
    )


@pytest.mark.parametrize("kind", BROKEN)
def test_a_family_that_cannot_be_used_matters_to_its_own_models_alone(directory, wheel, kind):
    source, why = BROKEN[kind]
    wheel(source, module="broken_wheel")
    assert origin(load(directory))[1] == "qwen2"
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "model_type": "theirs"}))
    unmatched = refused(directory)
    assert "no installed family matches model_type='theirs'" in unmatched
    named = refused(directory, family="theirs")
    assert named.startswith("model.family=theirs: ")
    for said in (unmatched, named):
        assert why in said
    assert "; left out, as it cannot be used: 'theirs' (broken-wheel 1.0): " in unmatched


def test_a_hand_over_keeps_the_choice(directory, wheel):
    wheel()
    chosen = Pretrained(name_or_path="elsewhere", family="theirs").handed_over(str(directory))
    assert origin(load_bundle(chosen, ModelContext(tokenizer=AutoTokenizer())))[1] == "theirs"
    fresh = load_bundle(Tiny(), ModelContext(tokenizer=AutoTokenizer()))
    assert origin(fresh) == ("family", "qwen2", "burnish-llm", "0.1.0")
    tiny = Tiny().handed_over(str(directory))
    assert origin(load_bundle(tiny, ModelContext(tokenizer=AutoTokenizer())))[1] == "qwen2"


def test_a_run_records_the_family_of_each_stage_with_its_distribution(directory, wheel, tmp_path):
    wheel(version="3.1")
    run = make_run(tmp_path / "run", "sft", KeptRows())
    run.root.write_json("run.json", {})
    model = Pretrained(name_or_path=str(directory), family="theirs")
    assert ReceivedModel(run=run, model=model, tokenizer=ByteTokenizer()).bundle.model.vocab_size == 260
    [found] = json.loads(Path(tmp_path / "run/run.json").read_text(encoding="utf-8"))["found"]["sft"]
    assert found == {
        "slot": "family",
        "name": "theirs",
        "value": "their_wheel:Theirs",
        "distribution": "their-wheel",
        "version": "3.1",
    }

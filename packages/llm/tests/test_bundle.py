import json

import jax
import numpy as np
import pytest

from burnish.llm.bundle import ModelContext, load_bundle
from burnish.llm.config.family import Qwen2
from burnish.llm.config.model import Pretrained, Tiny
from burnish.llm.config.tokenizer import AutoTokenizer, ByteTokenizer
from burnish.llm.export import HuggingFaceWriter, export_facts
from burnish.llm.families.layers import Compute
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.family_choice import find_family
from burnish.llm.huggingface_tokenizer import HuggingFaceTokenizer
from burnish.llm.testing import params_of
from burnish.llm.tokenizer_files import save_tokenizer
from burnish.llm.weights import save_huggingface
from burnish.platform.checkpoint.backend import CheckpointContext
from burnish.platform.checkpoint.config import Msgpack
from burnish.platform.checkpoint.manifest import write_manifest
from burnish.platform.errors import CheckpointError, ConfigError

pytestmark = pytest.mark.fast

TINY = Tiny(hidden_size=32, intermediate_size=48)


@pytest.fixture
def bundle():
    return TINY.build(ModelContext(tokenizer=ByteTokenizer(), seed=3))


def load(path):
    return load_bundle(Pretrained(name_or_path=str(path)), ModelContext(tokenizer=AutoTokenizer()))


def test_the_tiny_model_has_the_tokenizers_vocabulary_and_the_configured_sizes(bundle):
    assert bundle.model.vocab_size == 260
    assert bundle.model.hf_config["rope_theta"] == TINY.rope_theta
    assert params_of(bundle)["layers"]["mlp"]["up"].shape == (2, 32, 48)


def test_the_tiny_models_parameters_are_a_function_of_the_seed(bundle):
    again = TINY.build(ModelContext(tokenizer=ByteTokenizer(), seed=3))
    other = TINY.build(ModelContext(tokenizer=ByteTokenizer(), seed=4))
    assert jax.tree.all(jax.tree.map(np.array_equal, params_of(bundle), params_of(again)))
    assert not np.array_equal(params_of(bundle)["embed"], params_of(other)["embed"])


def test_options_of_the_computation_reach_the_model_and_survive_a_hand_over(bundle, tmp_path):
    HuggingFaceWriter(dtype="float32")(tmp_path / "e", bundle.model, params_of(bundle), bundle.tokenizer)
    tiny = Tiny(remat="full", scan_unroll=3)
    received = load_bundle(tiny.handed_over(str(tmp_path / "e")), ModelContext(tokenizer=AutoTokenizer()))
    assert received.model.compute == Compute(remat="full", unroll=3)
    again = load_bundle(
        tiny.handed_over("nowhere").handed_over(str(tmp_path / "e")), ModelContext(tokenizer=AutoTokenizer())
    )
    assert again.model == received.model


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_checkpoint_step_is_a_model_by_its_params_alone(bundle, tmp_path, dtype):
    step = tmp_path / "step_5"
    step.mkdir()
    params = jax.tree.map(lambda leaf: leaf.astype(jax.numpy.dtype(dtype)), params_of(bundle))
    backend = Msgpack().build(CheckpointContext())
    backend.save(step / "params", params)
    backend.wait()
    (step / "config.json").write_text(json.dumps(bundle.model.hf_config))
    save_tokenizer(bundle.tokenizer, step)
    write_manifest(step, {"kind": "checkpoint", "step": 5, "backend": "msgpack", "trees": ["params"]})
    loaded = load(step)
    assert loaded.model == bundle.model
    expected = jax.tree.map(lambda leaf: leaf.astype(np.float32), params)
    assert jax.tree.all(
        jax.tree.map(lambda a, b: a.dtype == b.dtype and np.array_equal(a, b), params_of(loaded), expected)
    )


def test_a_run_directory_stands_for_its_last_export(bundle, tmp_path):
    write = HuggingFaceWriter(dtype="float32")
    for number, name in enumerate(("9-sft", "10-rl")):
        (tmp_path / "stages" / name).mkdir(parents=True)
        params = {**params_of(bundle), "final_norm": np.full(32, number, np.float32)}
        write(tmp_path / "stages" / name / "export", bundle.model, params, bundle.tokenizer)
    assert params_of(load(tmp_path))["final_norm"][0] == 1


@pytest.mark.parametrize(("name", "named"), [("", "required"), ("./nowhere", "no directory")])
def test_a_model_that_is_nowhere_is_refused_with_a_remedy(name, named):
    with pytest.raises(ConfigError, match=named):
        load(name)


def test_a_hub_name_that_does_not_download_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="the hub does not give it") as caught:
        load("nobody/nothing")
    assert "\n" not in str(caught.value)


def test_a_directory_without_a_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds no model"):
        load(tmp_path)


def test_a_broken_config_is_refused_by_its_path(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json does not read as JSON"):
        load(tmp_path)


def test_a_model_of_no_installed_family_is_refused_with_the_installed_ones(tmp_path):
    with pytest.raises(ConfigError, match=r"'mamba'.*installed: .*qwen2"):
        find_family({"model_type": "mamba"}, tmp_path)


def test_a_tokenizer_with_more_ids_than_the_model_is_refused(tmp_path, hf_config, scaled_params):
    model = Qwen2().build(FamilyContext(hf_config=hf_config))
    save_huggingface(tmp_path, model, scaled_params(model), "float32")
    with pytest.raises(ConfigError, match="260 ids"):
        load_bundle(Pretrained(name_or_path=str(tmp_path)), ModelContext(tokenizer=ByteTokenizer()))


@pytest.mark.parametrize(
    ("name", "other"),
    [("tokenizer", "0" * 64), ("chat_template", "0" * 64), ("eos_token_ids", [258])],
)
def test_a_tokenizer_other_than_the_recorded_one_is_refused(bundle, tmp_path, name, other):
    """The twin: the same directory with its own facts, with none, and with one that differs."""
    HuggingFaceWriter(dtype="float32")(tmp_path / "e", bundle.model, params_of(bundle), bundle.tokenizer)
    for facts in (export_facts(bundle.tokenizer), {"kind": "checkpoint"}):
        write_manifest(tmp_path / "e", facts)
        assert load(tmp_path / "e").model == bundle.model
    write_manifest(tmp_path / "e", {**export_facts(bundle.tokenizer), name: other})
    with pytest.raises(ConfigError, match=rf"\({name} in its manifest .*tokenizer=auto") as caught:
        load(tmp_path / "e")
    assert "\n" not in str(caught.value)


def test_an_export_with_another_tokenizer_is_read_by_auto_and_refused_with_bytes(bundle, tmp_path):
    save_tokenizer(bundle.tokenizer, tmp_path)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [258], "pad_token_id": 259}')
    other = HuggingFaceTokenizer(tmp_path)
    export = HuggingFaceWriter(dtype="float32")(tmp_path / "e", bundle.model, params_of(bundle), other)
    assert load(export).tokenizer.fingerprint == other.fingerprint
    with pytest.raises(ConfigError, match=r"\(eos_token_ids, tokenizer in its manifest"):
        load_bundle(Pretrained(name_or_path=str(export)), ModelContext(tokenizer=ByteTokenizer()))

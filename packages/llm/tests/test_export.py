import importlib.util
import json

import jax
import numpy as np
import pytest

from burnish.llm.bundle import ModelContext, load_bundle
from burnish.llm.byte_tokenizer import ByteTokenizer
from burnish.llm.config.export import HuggingFaceExport
from burnish.llm.config.model import Pretrained, Tiny
from burnish.llm.config.tokenizer import AutoTokenizer
from burnish.llm.config.tokenizer import ByteTokenizer as ByteTokenizerConfig
from burnish.llm.export import ExportContext, HuggingFaceWriter
from burnish.llm.testing import params_of
from burnish.platform.checkpoint.manifest import verify
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.errors import CheckpointError

pytestmark = pytest.mark.fast

TINY = Tiny(hidden_size=32, intermediate_size=48)


@pytest.fixture(scope="module")
def bundle():
    return TINY.build(ModelContext(tokenizer=ByteTokenizerConfig()))


@pytest.fixture
def exported(tmp_path, bundle, scaled_params):
    """Return an fp32 export, its bundle and its parameters."""
    params = scaled_params(bundle.model)
    directory = HuggingFaceWriter(dtype="float32")(
        tmp_path / "export", bundle.model, params, bundle.tokenizer
    )
    return directory, bundle, params


def test_an_export_is_complete_and_its_manifest_holds(exported):
    directory, bundle, _ = exported
    assert {path.name for path in directory.iterdir()} == {
        "config.json",
        "generation_config.json",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    facts = verify(directory).facts
    assert facts["eos_token_ids"] == [256]
    assert facts["chat_template"] is None
    assert facts["tokenizer"] == bundle.tokenizer.fingerprint


def test_an_export_read_back_is_the_model_bit_for_bit(exported):
    directory, bundle, params = exported
    again = load_bundle(Pretrained(name_or_path=str(directory)), ModelContext(tokenizer=AutoTokenizer()))
    assert again.model == bundle.model
    assert isinstance(again.tokenizer, ByteTokenizer)
    assert jax.tree.all(jax.tree.map(np.array_equal, params_of(again), params))


def test_an_export_replaces_an_earlier_one_and_leaves_nothing_else(exported):
    directory, bundle, params = exported
    changed = {**params, "final_norm": params["final_norm"] + 1}
    HuggingFaceWriter(dtype="float32")(directory, bundle.model, changed, bundle.tokenizer)
    again = load_bundle(Pretrained(name_or_path=str(directory)), ModelContext(tokenizer=AutoTokenizer()))
    assert np.array_equal(params_of(again)["final_norm"], changed["final_norm"])
    assert [path.name for path in directory.parent.iterdir()] == ["export"]


def test_an_export_that_fails_leaves_the_earlier_one(exported):
    directory, bundle, params = exported
    with pytest.raises(CheckpointError):
        HuggingFaceWriter(dtype="float32")(
            directory, bundle.model, {**params, "final_norm": np.ones(3)}, bundle.tokenizer
        )
    again = load_bundle(Pretrained(name_or_path=str(directory)), ModelContext(tokenizer=AutoTokenizer()))
    assert jax.tree.all(jax.tree.map(np.array_equal, params_of(again), params))


@pytest.mark.parametrize(
    ("dtype", "compute", "written"),
    [
        ("compute", "float32", "float32"),
        ("compute", "bfloat16", "bfloat16"),
        ("float32", "bfloat16", "float32"),
        ("bfloat16", "float32", "bfloat16"),
    ],
)
def test_the_written_type_is_that_of_the_computation_unless_named(tmp_path, bundle, dtype, compute, written):
    write = HuggingFaceExport(dtype=dtype).build(ExportContext(jax=JaxConfig(compute_dtype=compute)))
    directory = write(tmp_path / "export", bundle.model, params_of(bundle), bundle.tokenizer)
    assert json.loads((directory / "config.json").read_text())["dtype"] == written


def test_a_flipped_byte_in_an_export_is_named(exported):
    directory, _, _ = exported
    path = directory / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_bundle(Pretrained(name_or_path=str(directory)), ModelContext(tokenizer=AutoTokenizer()))


def transformers_logits(directory, text):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory)
    ids = tokenizer(text).input_ids
    with torch.no_grad():
        return ids, model(torch.tensor([ids])).logits.numpy(), model.generation_config


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
@pytest.mark.parametrize("is_tied", [True, False], ids=["tied", "untied"])
def test_transformers_reads_an_export_with_the_same_logits(
    tmp_path, scaled_params, logits_of, assert_same_logits, is_tied
):
    config = Tiny(hidden_size=32, intermediate_size=48, tie_word_embeddings=is_tied)
    bundle = config.build(ModelContext(tokenizer=ByteTokenizerConfig()))
    params = scaled_params(bundle.model)
    directory = HuggingFaceWriter(dtype="float32")(tmp_path / "e", bundle.model, params, bundle.tokenizer)
    ids, expected, generation = transformers_logits(directory, "3+8+0=#1<|endoftext|>")
    assert ids == bundle.tokenizer.encode("3+8+0=#1<|endoftext|>", with_special=True)
    assert generation.eos_token_id == [256]
    assert_same_logits(logits_of(bundle.model, params, [ids]), expected)
    broken = {**params, "final_norm": params["final_norm"] * 1.001}
    with pytest.raises(AssertionError):
        assert_same_logits(logits_of(bundle.model, broken, [ids]), expected)

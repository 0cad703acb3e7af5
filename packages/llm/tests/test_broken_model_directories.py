"""Model directories that somebody's download, editor or quantizer has left: each is one line."""

import json
import math

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from burnish.llm.bundle import ModelContext, load_bundle
from burnish.llm.config.model import Pretrained
from burnish.llm.config.tokenizer import ByteTokenizer
from burnish.llm.huggingface_tokenizer import HuggingFaceTokenizer
from burnish.llm.safetensors_files import TensorFiles
from burnish.llm.testing import params_of, tiny_qwen2
from burnish.llm.tokenizer_files import save_tokenizer
from burnish.llm.weights import save_huggingface
from burnish.platform.errors import CheckpointError, ConfigError

pytestmark = pytest.mark.fast

NORM = "model.norm.weight"


@pytest.fixture
def directory(tmp_path):
    """Return a directory with a model of bytes that is whole."""

    model = tiny_qwen2(vocab_size=260)
    save_huggingface(tmp_path, model, model.init(0), "float32")
    return tmp_path


def bundle_of(directory):
    return load_bundle(Pretrained(name_or_path=str(directory)), ModelContext(tokenizer=ByteTokenizer()))


def refusal(directory, ask=lambda bundle: bundle.check_params()):
    with pytest.raises((CheckpointError, ConfigError)) as caught:
        ask(bundle_of(directory))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change_config(directory, **changes):
    path = directory / "config.json"
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))


def change_weights(directory, **changes):
    path = directory / "model.safetensors"
    save_file(
        {**load_file(path), **{name.replace("__", "."): value for name, value in changes.items()}}, path
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": 0}, "hidden_size=0 is out of range; legal: 1 or more"),
        ({"hidden_size": -32}, "hidden_size=-32 is out of range; legal: 1 or more"),
        ({"hidden_size": 2**40}, f"hidden_size={2**40} is out of range; legal: 1 to 2147483647"),
        ({"hidden_size": 32.0}, "hidden_size: expected a whole number, got 32.0"),
        ({"hidden_size": "32"}, "hidden_size: expected a whole number, got '32'"),
        ({"hidden_size": [[{}]]}, "hidden_size: expected a whole number, got [[{}]]"),
        ({"hidden_size": ...}, "'hidden_size' is missing, and qwen2 needs it"),
        ({"hidden_size": None}, "'hidden_size' is missing, and qwen2 needs it"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers=1000000000 is out of range; legal: 1 to 65536"),
        ({"num_attention_heads": 0}, "num_attention_heads=0 is out of range; legal: 1 or more"),
        ({"num_attention_heads": 64}, "head_dim=0, or hidden_size / num_attention_heads, must be even"),
        ({"num_key_value_heads": 3}, "num_attention_heads=4 must be a multiple of num_key_value_heads=3"),
        ({"num_key_value_heads": 0}, "num_key_value_heads=0 is out of range; legal: 1 or more"),
        ({"head_dim": 7}, "head_dim=7, or hidden_size / num_attention_heads, must be even"),
        ({"vocab_size": True}, "vocab_size: expected a whole number, got true"),
        ({"rope_theta": 0}, "rope_theta=0 is out of range; legal: above 0"),
        ({"rope_theta": math.nan}, "rope_theta=nan is out of range; legal: above 0"),
        ({"rope_scaling": [1]}, "rope_scaling: expected a mapping, got [1]"),
        ({"rope_scaling": {"rope_theta": "x"}}, "rope_theta: expected a number, got 'x'"),
        ({"rms_norm_eps": -1}, "rms_norm_eps=-1 is out of range; legal: 0 or more"),
        ({"rms_norm_eps": math.inf}, "rms_norm_eps=inf is out of range"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings: expected true or false, got 'yes'"),
        ({"layer_types": 3}, "layer_types: expected a list, got 3"),
        ({"layer_types": [3]}, "layer_types.0: input should be a valid string, got 3"),
    ],
)
def test_a_config_that_states_no_model_is_refused_with_what_is_legal(directory, changes, said):
    change_config(directory, **changes)
    line = refusal(directory)
    assert line.startswith(f"model.name_or_path={directory}: config.json of the model: {said}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "config.json does not read as JSON"),
        (b"[1]", "config.json holds no JSON object"),
        (b'{"model_type": "\xff"}', "config.json does not read as JSON ('utf-8' codec can't decode"),
        (b'{"a":' * 100_000, "config.json does not read as JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "config.json does not read as JSON"),
        (b'{"model_type": ["qwen2"]}', "no installed family matches model_type=['qwen2']"),
    ],
)
def test_a_config_that_is_none_is_refused_by_its_path(directory, content, said):
    (directory / "config.json").write_bytes(content)
    assert said in refusal(directory)


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ("{", "index.json does not read as JSON"),
        ("[]", "index.json holds no JSON object"),
        ("{}", "has no `weight_map` from tensors to files: copy it again"),
        ('{"weight_map": ["x"]}', "has no `weight_map` from tensors to files"),
        ('{"weight_map": {"x": 3}}', "has no `weight_map` from tensors to files"),
        (
            '{"weight_map": {"x": "../model.safetensors"}}',
            "names ['../model.safetensors'], which are not beside",
        ),
        ('{"weight_map": {"x": "/etc/passwd"}}', "names ['/etc/passwd'], which are not beside it"),
        ('{"weight_map": {"x": "absent"}}', "names ['absent'], which are missing: copy them there"),
        ('{"weight_map": {"x": ""}}', "index.json names"),
        ('{"weight_map": {"x": "model.safetensors"}}', "the weights do not fit config.json: missing"),
    ],
)
def test_an_index_that_does_not_lead_to_the_weights_is_refused(directory, index, said):
    (directory / "model.safetensors.index.json").write_text(index)
    assert said in refusal(directory)


def test_an_index_that_names_a_file_without_the_tensor_is_refused(directory):
    names = list(load_file(directory / "model.safetensors"))
    save_file({"other": np.zeros(1, np.float32)}, directory / "other.safetensors")
    index = {"weight_map": dict.fromkeys(names, "model.safetensors") | {NORM: "other.safetensors"}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    assert f"other.safetensors has no `{NORM}`" in refusal(directory)


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (np.ones(32, np.int8), f"`{NORM}` is of type I8; legal: F64, F32, F16, BF16"),
        (np.ones((32, 1), np.float32), f"`{NORM}` is (32, 1), config.json makes it (32,)"),
    ],
)
def test_weights_of_another_kind_are_named_by_their_headers(directory, tensor, said):
    change_weights(directory, model__norm__weight=tensor)
    assert said in refusal(directory)


@pytest.mark.parametrize("value", [np.float32(np.nan), np.float16(-np.inf)])
def test_weights_that_cannot_be_computed_with_are_named_when_they_are_read(directory, value):
    change_weights(directory, model__norm__weight=np.full(32, value))
    assert f"`{NORM}` has entries that are NaN or infinite" in refusal(directory, params_of)


def test_each_tensor_is_read_once(directory, monkeypatch):
    read, rows = [], TensorFiles.rows
    monkeypatch.setattr(TensorFiles, "rows", lambda *words: (read.append(words[1]), rows(*words))[1])
    bundle = bundle_of(directory)
    bundle.check_params()
    params_of(bundle)
    assert sorted(read) == sorted(load_file(directory / "model.safetensors"))


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_file_is_no_complete_one(directory, kept):
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    assert "model.safetensors is no complete safetensors file" in refusal(directory)


def test_huge_sizes_are_compared_with_the_files_before_anything_is_allocated(directory):
    change_config(directory, vocab_size=2**31 - 1)
    assert "is (260, 32), config.json makes it (2147483647, 32)" in refusal(directory)


@pytest.mark.parametrize(
    ("declared", "said"),
    [("[258, -1]", "eos_token_id=-1 is no token id"), ('"end"', "eos_token_id='end' is no token id")],
)
def test_an_end_token_that_is_no_id_is_refused(tmp_path, declared, said):
    from burnish.llm.byte_tokenizer import ByteTokenizer as Bytes

    save_tokenizer(Bytes(), tmp_path)
    (tmp_path / "generation_config.json").write_text(f'{{"eos_token_id": {declared}}}')
    with pytest.raises(ConfigError, match=said):
        HuggingFaceTokenizer(tmp_path)
    (tmp_path / "generation_config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"generation_config\.json does not read as JSON"):
        HuggingFaceTokenizer(tmp_path)

"""What is said of a model or a tokenizer that cannot be used, done: it is read out and it works."""

import json
import re

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from burnish.llm.bundle import ModelContext, load_bundle
from burnish.llm.byte_tokenizer import ByteTokenizer as Bytes
from burnish.llm.config.model import Pretrained
from burnish.llm.config.tokenizer import AutoTokenizer, ByteTokenizer
from burnish.llm.micro_batches import check_rows
from burnish.llm.partition import Partition
from burnish.llm.testing import params_of, tiny_qwen2
from burnish.llm.tokenizer_files import load_tokenizer, save_tokenizer
from burnish.llm.weights import HEAD, save_huggingface
from burnish.platform.errors import CheckpointError, ConfigError, DataError
from burnish.platform.testing import named

pytestmark = pytest.mark.fast

NORM = "model.norm.weight"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def model_in(directory, **config):
    directory.mkdir()
    model = tiny_qwen2(**{"vocab_size": 260, **config})
    save_huggingface(directory, model, model.init(0), "float32")
    save_tokenizer(Bytes(), directory)
    return directory


@pytest.fixture
def directory(tmp_path):
    """Return a directory with a model and its tokenizer."""
    return model_in(tmp_path / "model")


def load(directory, tokenizer=AutoTokenizer(), **options):  # noqa: B008 - it is frozen
    model = Pretrained(name_or_path=str(directory), **options)
    bundle = load_bundle(model, ModelContext(tokenizer=tokenizer))
    bundle.check_params()
    params_of(bundle)


def said_of(function, *arguments, **options):
    """What is said of arguments that are refused."""
    with pytest.raises((ConfigError, CheckpointError, DataError)) as caught:
        function(*arguments, **options)
    return str(caught.value)


def change_config(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_weights(directory, **changes):
    path = directory / WEIGHTS
    save_file({**load_file(path), **changes}, path)


@pytest.mark.parametrize(
    ("file", "damaged", "remedy"),
    [
        ("config.json", b"{", r"(config\.json) does not read as JSON .*: restore the file$"),
        ("config.json", b"[]", r"(config\.json) holds no JSON object: restore the file$"),
        (WEIGHTS, b"torn", r"(model\.safetensors) is no complete .*: copy it again$"),
        (INDEX, b"{}", r"(model\.safetensors\.index\.json) has no `weight_map` .*: copy it again$"),
        (
            INDEX,
            b'{"weight_map": {"x": "/x"}}',
            r"(model\.safetensors\.index\.json) names .*: copy it again$",
        ),
    ],
)
def test_a_file_is_copied_again(directory, file, damaged, remedy):
    names = dict.fromkeys(load_file(directory / WEIGHTS), WEIGHTS)
    (directory / INDEX).write_text(json.dumps({"weight_map": names}))
    whole = (directory / file).read_bytes()
    (directory / file).write_bytes(damaged)
    assert named(said_of(load, directory), remedy) == file
    (directory / file).write_bytes(whole)
    load(directory)


def test_missing_files_of_an_index_are_copied_there(directory):
    tensors = load_file(directory / WEIGHTS)
    index = {"weight_map": {**dict.fromkeys(tensors, WEIGHTS), NORM: "norm.safetensors"}}
    (directory / INDEX).write_text(json.dumps(index))
    name = named(said_of(load, directory), r"names \['(\S+)'\], which are missing: copy them there$")
    save_file({"other": tensors[NORM]}, directory / name)
    assert named(said_of(load, directory), r"has no `(\S+)`, .*: copy both again$") == NORM
    save_file({NORM: tensors[NORM]}, directory / name)
    load(directory)


@pytest.mark.parametrize(
    ("tensor", "remedy"),
    [
        (np.ones(32, np.int8), r"`(\S+)` is of type I8; legal: .*: save the weights unquantized$"),
        (np.full(32, np.nan, np.float32), r"`(\S+)` has entries .*: copy it again$"),
    ],
)
def test_weights_are_saved_as_they_are_asked_for(directory, tensor, remedy):
    whole = load_file(directory / WEIGHTS)
    change_weights(directory, **{NORM: tensor})
    name = named(said_of(load, directory), remedy)
    change_weights(directory, **{name: whole[name]})
    load(directory)


def test_a_quantized_model_is_saved_unquantized(directory):
    change_config(directory, quantization_config={"quant_method": "gptq"})
    said = said_of(load, directory)
    change_config(directory, **{named(said, r"support (\w+) \(save the weights unquantized\)"): None})
    load(directory)


def test_each_layer_is_given_one_of_the_kinds_that_are_named(directory):
    change_config(directory, layer_types=["linear_attention"] * 2, sliding_window=8)
    said = said_of(load, directory)
    for kind in re.findall("'(\\w+)'", named(said, r"give each layer (.*)$")):
        change_config(directory, layer_types=[kind] * 2)
        load(directory)


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16"])
def test_a_listed_type_of_weights_is_taken(directory, dtype):
    import ml_dtypes

    change_weights(directory, **{NORM: np.ones(32, np.int8)})
    assert dtype in named(said_of(load, directory), r"legal: (.*): save").split(", ")
    types = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}
    change_weights(directory, **{NORM: np.ones(32, types[dtype])})
    load(directory)


def test_a_model_is_saved_as_safetensors(directory):
    whole = (directory / WEIGHTS).read_bytes()
    (directory / WEIGHTS).rename(directory / "pytorch_model.bin")
    assert named(said_of(load, directory), r"neither (\S+) nor .*: save the model as safetensors$") == WEIGHTS
    (directory / WEIGHTS).write_bytes(whole)
    load(directory)


@pytest.mark.parametrize(
    "choice", [r"set (tie_word_embeddings) to false there", r"or (take that tensor out)$"]
)
def test_a_head_that_is_not_the_embedding(directory, choice):
    change_config(directory, tie_word_embeddings=True)
    tensors = load_file(directory / WEIGHTS)
    change_weights(directory, **{HEAD: tensors["model.embed_tokens.weight"] + 1})
    option = named(said_of(load, directory), choice)
    if option == "tie_word_embeddings":
        change_config(directory, **{option: False})
    else:
        tensors.pop(HEAD, None)
        save_file(tensors, directory / WEIGHTS)
    load(directory)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"rope_scaling": {"rope_type": "longrope"}}, r"(rope_type)='longrope' \(only '(\w+)'"),
        ({"hidden_act": "gelu"}, r"(hidden_act)='gelu' \(only '(\w+)'\)$"),
    ],
)
def test_a_feature_that_is_not_there(directory, changes, remedy):
    change_config(directory, **changes)
    option, value = re.search(remedy, said_of(load, directory)).groups()
    meant = {option: value}
    change_config(directory, **({"rope_scaling": meant} if option == "rope_type" else meant))
    load(directory)


@pytest.mark.parametrize(
    "choice", [r"trained with \((tokenizer)=auto\), or", r"or set model\.(resize)=(\w+)$"]
)
def test_a_tokenizer_of_other_ids(tmp_path, directory, choice):
    small = model_in(tmp_path / "small", vocab_size=61)
    option, *value = re.search(choice, said_of(load, small, ByteTokenizer())).groups()
    if option == "tokenizer":
        load(directory)
    else:
        load(small, ByteTokenizer(), **{option: value[0]})


def test_a_model_that_is_nowhere(directory, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert named(said_of(load, ""), r": set it to (a model directory), an earlier run's directory, or")
    assert named(said_of(load, "nobody/nothing"), r"does not give it .*: check .*, or (give a directory)$")
    load(directory)


@pytest.mark.parametrize("choice", [r"put the model's (tokenizer files) there", r"or set tokenizer=(\w+)$"])
def test_a_directory_without_a_tokenizer(directory, choice):
    for name in Bytes().files():
        (directory / name).unlink()
    option = named(said_of(load, directory), choice)
    if option == "bytes":
        load(directory, ByteTokenizer())
    else:
        save_tokenizer(Bytes(), directory)
        load(directory)


@pytest.mark.parametrize(
    ("file", "option", "value"),
    [
        ("tokenizer_config.json", "eos_token", "<|endoftext|>"),
        ("generation_config.json", "eos_token_id", 256),
    ],
)
def test_a_tokenizer_without_an_end(tmp_path, file, option, value):
    save_tokenizer(Bytes(), tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "eos_token": None}))
    (tmp_path / "generation_config.json").write_text("{}")
    assert f"{option} in {file}" in named(said_of(load_tokenizer, tmp_path), r"; set (.*)$")
    (tmp_path / file).write_text(json.dumps({**json.loads((tmp_path / file).read_text()), option: value}))
    assert load_tokenizer(tmp_path).eos_token_ids == (256,)


def test_rows_that_the_devices_do_not_divide():
    counts = re.search(r"; (\d+) or (\d+) rows could$", said_of(check_rows, 5, "all", 2)).groups()
    assert [check_rows(int(count), "all", 2) for count in counts] == [4, 6]


def test_listed_parameters_can_be_frozen(model):
    tree = model.abstract("float32")
    for name in named(said_of(Partition(("nope",)).check, tree), r"there are (.*)$").split(", "):
        Partition((name,)).check(tree)

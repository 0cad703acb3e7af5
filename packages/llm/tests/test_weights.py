import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from burnish.llm.config.family import Qwen2
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.families.tensor_name import TensorName
from burnish.llm.tensor_layout import from_huggingface, huggingface_shape, to_huggingface
from burnish.llm.testing import params_in
from burnish.llm.weights import save_huggingface
from burnish.platform.errors import CheckpointError

pytestmark = pytest.mark.fast


def same(one, other):
    return jax.tree.all(
        jax.tree.map(
            lambda a, b: a.dtype == b.dtype and np.asarray(a).tobytes() == np.asarray(b).tobytes(), one, other
        )
    )


@pytest.fixture
def saved(tmp_path, qwen2, scaled_params):
    """Return a directory with a tiny model in fp32, the model and its parameters."""
    params = scaled_params(qwen2)
    save_huggingface(tmp_path, qwen2, params, "float32")
    return tmp_path, qwen2, params


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_load_save_load_is_bit_equal(tmp_path, qwen2, scaled_params, dtype):
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.dtype(dtype)), scaled_params(qwen2))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    save_huggingface(tmp_path / "one", qwen2, params, dtype)
    first = params_in(tmp_path / "one", qwen2, dtype)
    save_huggingface(tmp_path / "two", qwen2, first, dtype)
    assert same(first, params)
    assert same(params_in(tmp_path / "two", qwen2, dtype), params)
    one, two = (
        {path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())}
        for name in ("one", "two")
    )
    assert one == two


def test_bfloat16_weights_read_as_float32_are_exact(tmp_path, qwen2, scaled_params):
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), scaled_params(qwen2))
    save_huggingface(tmp_path, qwen2, params, "bfloat16")
    exact = jax.tree.map(lambda leaf: leaf.astype(np.float32), params)
    assert same(params_in(tmp_path, qwen2), exact)


def test_float32_weights_through_bfloat16_are_not_bit_equal(tmp_path, qwen2, scaled_params):
    params = scaled_params(qwen2)
    save_huggingface(tmp_path, qwen2, params, "bfloat16")
    assert not same(params_in(tmp_path, qwen2), params)


def test_shards_and_their_index_read_like_one_file(tmp_path, qwen2, scaled_params):
    params = scaled_params(qwen2)
    save_huggingface(tmp_path, qwen2, params, "float32", max_shard_bytes=20_000)
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 2
    assert not (tmp_path / "model.safetensors").exists()
    assert same(params_in(tmp_path, qwen2), params)


def test_a_matrix_is_stored_transposed_and_flattened():
    name, matrix = TensorName("q", 1), np.arange(24).reshape(2, 3, 4)
    stored = to_huggingface(matrix, name)
    assert stored.shape == huggingface_shape(name, (2, 3, 4)) == (12, 2)
    assert (stored[:, 1] == np.arange(12, 24)).all()
    assert (from_huggingface(stored, name, (2, 3, 4)) == matrix).all()


def test_a_bias_is_stored_flat_and_an_embedding_as_it_is():
    bias, table = np.arange(6).reshape(2, 3), np.arange(6).reshape(3, 2)
    assert to_huggingface(bias, TensorName("b", 0)).tolist() == list(range(6))
    assert to_huggingface(table, TensorName("e")) is table


def test_missing_and_unexpected_tensors_are_named_in_one_line(saved):
    directory, model, _ = saved
    tensors = load_file(directory / "model.safetensors")
    tensors["model.layers.7.extra"] = tensors.pop("model.norm.weight")
    save_file(tensors, directory / "model.safetensors")
    with pytest.raises(
        CheckpointError, match=r"missing `model.norm.weight`; unexpected `model.layers.7.extra`"
    ) as caught:
        params_in(directory, model)
    assert "\n" not in str(caught.value)


def test_a_wrong_shape_is_named(saved):
    directory, model, _ = saved
    tensors = load_file(directory / "model.safetensors")
    tensors["model.norm.weight"] = np.zeros(5, np.float32)
    save_file(tensors, directory / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"`model.norm.weight` is \(5,\).*\(32,\)"):
        params_in(directory, model)


def test_a_tied_model_ignores_a_head_in_the_files(tmp_path, hf_config, scaled_params):
    model = Qwen2().build(FamilyContext(hf_config={**hf_config, "tie_word_embeddings": True}))
    params = scaled_params(model)
    save_huggingface(tmp_path, model, params, "float32")
    tensors = load_file(tmp_path / "model.safetensors")
    assert "lm_head.weight" not in tensors
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    assert same(params_in(tmp_path, model), params)


def test_a_tied_model_whose_files_hold_another_head_is_refused(tmp_path, hf_config, scaled_params):
    model = Qwen2().build(FamilyContext(hf_config={**hf_config, "tie_word_embeddings": True}))
    save_huggingface(tmp_path, model, scaled_params(model), "float32")
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = -tensors["model.embed_tokens.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"`lm_head.weight` differs from `model.embed_tokens.weight`"):
        params_in(tmp_path, model)


def test_an_untied_model_without_a_head_in_the_files_is_refused(tmp_path, hf_config, scaled_params):
    tied = Qwen2().build(FamilyContext(hf_config={**hf_config, "tie_word_embeddings": True}))
    save_huggingface(tmp_path, tied, scaled_params(tied), "float32")
    untied = Qwen2().build(FamilyContext(hf_config={**hf_config, "tie_word_embeddings": False}))
    with pytest.raises(CheckpointError, match=r"missing `lm_head.weight`"):
        params_in(tmp_path, untied)


def test_a_truncated_file_is_named(saved):
    directory, model, _ = saved
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"model.safetensors is no complete"):
        params_in(directory, model)


def test_a_directory_without_weights_is_named(tmp_path, qwen2):
    with pytest.raises(CheckpointError, match=r"neither model.safetensors nor"):
        params_in(tmp_path, qwen2)


def test_a_missing_shard_is_named(tmp_path, qwen2, scaled_params):
    save_huggingface(tmp_path, qwen2, scaled_params(qwen2), "float32", max_shard_bytes=20_000)
    next(tmp_path.glob("model-00002-*")).unlink()
    with pytest.raises(CheckpointError, match=r"model-00002"):
        params_in(tmp_path, qwen2)


def test_the_written_config_says_the_dtype(saved):
    directory, model, _ = saved
    assert json.loads((directory / "config.json").read_text()) == {**model.hf_config, "dtype": "float32"}


def test_parameters_on_devices_are_written_like_those_in_numpy(saved, tmp_path_factory):
    directory, model, params = saved
    other = tmp_path_factory.mktemp("devices")
    save_huggingface(other, model, jax.tree.map(jnp.asarray, params), "float32")
    assert (other / "model.safetensors").read_bytes() == (directory / "model.safetensors").read_bytes()


def test_parameters_of_another_model_are_refused(tmp_path, qwen2, scaled_params):
    params = {**scaled_params(qwen2), "final_norm": np.ones(7, np.float32)}
    with pytest.raises(CheckpointError, match=r"final_norm is \(7,\)"):
        save_huggingface(tmp_path, qwen2, params, "float32")

"""Parameters on their devices are, bit for bit, what a plain reading of the files gives."""

import json

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from burnish.llm import placement
from burnish.llm.bundle import ModelContext, load_bundle
from burnish.llm.config.family import Mixtral, Phi3, Qwen2
from burnish.llm.config.model import Pretrained
from burnish.llm.config.tokenizer import AutoTokenizer, ByteTokenizer
from burnish.llm.families.parameters import leaves_by_path, nest
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.placement import filled, place_params
from burnish.llm.safetensors_files import TensorFiles
from burnish.llm.sharding import likeness_of
from burnish.llm.testing import tiny_qwen2, tiny_qwen2_config
from burnish.llm.tokenizer_files import save_tokenizer
from burnish.llm.weights import load_huggingface, save_huggingface
from burnish.platform.checkpoint.backend import CheckpointContext
from burnish.platform.checkpoint.config import Msgpack, Orbax
from burnish.platform.checkpoint.manifest import write_manifest
from burnish.platform.errors import CheckpointError

pytestmark = pytest.mark.fast

MESHES = [(1, 1, 1), (1, 2, 1), (1, 1, 4), (2, 2, 2), (1, 8, 1)]
"""Sizes of `dp`, `fsdp` and `tp`; the vocabulary of 61 and two heads of keys divide by few of them."""
FAMILIES = {
    "tied": (Qwen2, {}),
    "fused": (Phi3, {"model_type": "phi3", "tie_word_embeddings": False}),
    "experts": (
        Mixtral,
        {
            "model_type": "mixtral",
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "tie_word_embeddings": False,
        },
    ),
}
STORED = {"F32": np.float32, "BF16": ml_dtypes.bfloat16, "F16": np.float16, "F64": np.float64}


@pytest.fixture(params=[0, placement.ASSEMBLED_BYTES], ids=["filled", "assembled"])
def _way(request, monkeypatch):
    monkeypatch.setattr(placement, "ASSEMBLED_BYTES", request.param)


def plainly_read(tensors, model, dtype):
    """Return what the names of a model say of whole tensors, without any of the code that reads them."""

    def leaf(path, shape):
        name = model.parameter_names[path]
        made = np.zeros(shape, np.float32)
        for index in np.ndindex(shape[: name.num_stacked]):
            tensor = tensors[name.tensor(index)].astype(np.float32)
            rows = tensor if name.rows is None else tensor[slice(*name.rows)]
            one = shape[name.num_stacked :]
            made[index] = rows.reshape(one) if name.num_input_dims is None else rows.T.reshape(one)
        return made.astype(dtype)

    shapes = leaves_by_path(model.abstract("float32"))
    return nest({path: leaf(path, abstract.shape) for path, abstract in shapes.items()})


def bits(tree):
    return {path: (leaf.dtype, np.asarray(leaf).tobytes()) for path, leaf in leaves_by_path(tree).items()}


@pytest.fixture(scope="module", params=FAMILIES)
def made(request, tmp_path_factory):
    """Return a model and a directory with weights that bfloat16 does not hold, tiny and huge ones too."""
    family, changes = FAMILIES[request.param]
    model = family().build(FamilyContext(hf_config=tiny_qwen2_config(vocab_size=61, **changes)))
    generator = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: (
            generator.standard_normal(leaf.shape).astype(np.float32)
            * np.float32(10.0) ** generator.integers(-40, 30, leaf.shape).astype(np.float32)
        ),
        model.init(0),
    )
    directory = tmp_path_factory.mktemp("model")
    save_huggingface(directory, model, params, "float32", max_shard_bytes=20_000)
    tensors = {
        name: each for file in directory.glob("*.safetensors") for name, each in load_file(file).items()
    }
    return model, directory, tensors


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", MESHES, ids=str)
def test_parameters_on_devices_are_a_plain_reading_and_lie_as_asked(made, mesh, shape, dtype):
    model, directory, tensors = made
    like = likeness_of(model, dtype, mesh(*shape))
    read = load_huggingface(directory, model, like)
    assert bits(read) == bits(plainly_read(tensors, model, jnp.dtype(dtype)))
    assert jax.tree.all(jax.tree.map(lambda leaf, wanted: leaf.sharding == wanted.sharding, read, like))


@pytest.mark.usefixtures("_way")
def test_twin_with_one_entry_of_one_tensor_changed_the_bits_are_others(made, mesh):
    model, directory, tensors = made
    name = "model.layers.1.self_attn.o_proj.weight"
    changed = {**tensors, name: np.nextafter(tensors[name], np.float32(np.inf))}
    read = bits(load_huggingface(directory, model, likeness_of(model, "float32", mesh(2, 2, 2))))
    plain = bits(plainly_read(changed, model, np.dtype("float32")))
    assert len([path for path in read if read[path] != plain[path]]) == 1


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("stored", STORED)
def test_every_type_of_file_is_rounded_to_fp32_and_then_to_the_leaf(tmp_path, mesh, stored):
    model = tiny_qwen2(vocab_size=61)
    save_huggingface(tmp_path, model, model.init(0), "float32")
    tensors = {
        name: (tensor.astype(np.float64) * np.pi).astype(STORED[stored])
        for name, tensor in load_file(tmp_path / "model.safetensors").items()
    }
    save_file(tensors, tmp_path / "model.safetensors")
    for dtype in ("float32", "bfloat16"):
        read = load_huggingface(tmp_path, model, likeness_of(model, dtype, mesh(2, 2, 1)))
        assert bits(read) == bits(plainly_read(tensors, model, jnp.dtype(dtype)))


@pytest.mark.usefixtures("_way")
def test_leaves_that_are_not_asked_for_are_not_read(made, mesh):
    model, directory, _ = made
    like = likeness_of(model, "float32", mesh(1, 2, 1))
    part = {"final_norm": like["final_norm"], "layers": {"mlp_norm": like["layers"]["mlp_norm"]}}
    read = load_huggingface(directory, model, part)
    assert jax.tree.structure(read) == jax.tree.structure(part)
    assert read["layers"]["mlp_norm"].shape == (2, 32)


def test_a_likeness_without_a_place_is_an_array_in_numpy(made):
    model, directory, tensors = made
    read = load_huggingface(directory, model, model.abstract("bfloat16"))
    assert {type(leaf) for leaf in jax.tree.leaves(read)} == {np.ndarray}
    assert bits(read) == bits(plainly_read(tensors, model, jnp.dtype("bfloat16")))


@pytest.mark.usefixtures("_way")
def test_each_piece_is_asked_for_when_those_before_it_are_in_their_place(mesh):
    like = likeness_of(tiny_qwen2(vocab_size=64), "float32", mesh(1, 2, 2))["layers"]["mlp"]["up"]
    page = np.empty(like.shape[1:], np.float32)

    def pieces():
        for layer in range(like.shape[0]):
            page.fill(layer)
            yield (layer,), page
            page.fill(-1)

    made = np.asarray(filled(like, pieces()))
    assert [np.unique(each).tolist() for each in made] == [[0], [1]]


def test_what_is_placed_shares_nothing_with_what_it_was_made_of(mesh):
    model = tiny_qwen2(vocab_size=61)
    params = model.init(0)
    placed = place_params(params, likeness_of(model, "float32", mesh()))
    plain = place_params(params, model.abstract("float32"))
    before = bits(params)
    for leaf in jax.tree.leaves(params):
        leaf.fill(7)
    assert bits(placed) == bits(plain) == before


@pytest.mark.parametrize("backend", [Msgpack, Orbax])
@pytest.mark.parametrize("saved", ["float32", "bfloat16"])
def test_a_checkpoint_is_read_onto_a_mesh_in_either_type(tmp_path, mesh, backend, saved):
    model = tiny_qwen2(vocab_size=260)
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.dtype(saved)), model.init(3))
    step = tmp_path / "step_5"
    step.mkdir()
    writer = backend().build(CheckpointContext())
    writer.save(step / "params", params)
    writer.wait()
    (step / "config.json").write_text(json.dumps(model.hf_config))
    save_tokenizer(ByteTokenizer().build(None), step)
    facts = {"kind": "checkpoint", "step": 5, "backend": backend.__name__.lower(), "trees": ["params"]}
    write_manifest(step, facts)
    bundle = load_bundle(Pretrained(name_or_path=str(step)), ModelContext(tokenizer=AutoTokenizer()))
    for dtype in ("float32", "bfloat16"):
        like = likeness_of(model, dtype, mesh(2, 2, 1))
        read = bundle.load({**like, "layers": model.abstract(dtype)["layers"]})
        expected = place_params(params, model.abstract(dtype))
        assert bits(read) == bits(expected)
        assert read["embed"].sharding == like["embed"].sharding
        part = bundle.load({"final_norm": like["final_norm"]})
        assert bits(part) == {("final_norm",): bits(expected)["final_norm",]}


def test_headers_are_read_before_any_tensor(tmp_path, mesh, monkeypatch):
    model = tiny_qwen2(vocab_size=61)
    save_huggingface(tmp_path, model, model.init(0), "float32")
    tensors = load_file(tmp_path / "model.safetensors")
    save_file({**tensors, "model.norm.weight": np.ones(5, np.float32)}, tmp_path / "model.safetensors")
    monkeypatch.setattr(TensorFiles, "rows", None)
    with pytest.raises(CheckpointError, match=r"`model.norm.weight` is \(5,\)"):
        load_huggingface(tmp_path, model, likeness_of(model, "float32", mesh()))

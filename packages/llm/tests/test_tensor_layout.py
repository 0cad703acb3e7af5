"""Tensors that hold several leaves, leaves made of several tensors, and leaves of some layers alone."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from burnish.llm.config.family import Llama, Phi3
from burnish.llm.families.decoder import DecoderLM
from burnish.llm.families.parameters import nest
from burnish.llm.families.protocol import CausalLM, FamilyContext
from burnish.llm.tensor_layout import leaf_at, leaf_shapes, stored_tensors
from burnish.llm.testing import params_in, tiny_qwen2_config
from burnish.llm.weights import check_huggingface, save_huggingface
from burnish.platform.configuration.conformance import conforming
from burnish.platform.errors import CheckpointError, ComponentError

pytestmark = pytest.mark.fast

FOUR_LAYERS = {"num_hidden_layers": 4, "tie_word_embeddings": False}
HALVES = {"even": (0, 2), "odd": (1, 3)}
JOINED = {"qkv": ("query", "key", "value"), "gate_up": ("gate", "up")}
"""What a leaf here is made of, joined along its first output dim."""
FIRST_OUTPUT_DIM = 2
"""Of a stacked matrix with one input dim."""


@dataclass(frozen=True)
class Woven:
    """A Llama with leaves for even and for odd layers, and one matrix of each where it has several."""

    inner: DecoderLM
    names_of: object = None
    """Changes the names that a leaf is given, for tests of what is refused."""

    def __getattr__(self, name):
        return getattr(self.inner, name)

    @property
    def parameter_names(self):
        named = {}
        for path, names in self._names.items():
            named[path] = names if self.names_of is None else self.names_of(path, names)
        return named

    @property
    def _names(self):
        named = {path: name for path, name in self.inner.parameter_names.items() if path[0] != "layers"}
        for half, layers in HALVES.items():
            for path, name in self.inner.parameter_names.items():
                if path[0] == "layers":
                    named[(half, *joined_path(path[1:]))] = replace(name, layers=layers)
            for joined, module in (("qkv", "attention"), ("gate_up", "mlp")):
                parts = (self.inner.parameter_names["layers", module, part] for part in JOINED[joined])
                named[half, module, joined] = tuple(replace(part, layers=layers) for part in parts)
            query, *others = named[half, "attention", "qkv"]
            rows = self.inner.shape.num_heads * self.inner.shape.head_dim
            named[half, "attention", "qkv"] = (replace(query, rows=(0, rows)), *others)
        return named

    def abstract(self, dtype):
        return jax.eval_shape(self.woven, self.inner.abstract(dtype))

    def init(self, seed):
        return jax.tree.map(np.asarray, self.woven(self.inner.init(seed)))

    def woven(self, params):
        leaves = {path: leaf_at(params, path) for path in self.inner.parameter_names}
        found = {path: leaf for path, leaf in leaves.items() if path[0] != "layers"}
        for half, layers in HALVES.items():
            own = {path[1:]: leaf[np.array(layers)] for path, leaf in leaves.items() if path[0] == "layers"}
            for path in own:
                if joined_path(path) == path:
                    found[half, *path] = own[path]
                else:
                    parts = [own[path[0], part] for part in JOINED[joined_path(path)[1]]]
                    found[half, *joined_path(path)] = jnp.concatenate(parts, axis=FIRST_OUTPUT_DIM)
        return nest(found)

    def unwoven(self, params):
        shapes = leaf_shapes(self.inner)
        found = {path: leaf_at(params, path) for path in shapes if path[0] != "layers"}
        order = np.argsort(np.concatenate([np.array(layers) for layers in HALVES.values()]))
        for path in (path for path in shapes if path[0] == "layers"):
            halves = jnp.concatenate([leaf_at(params, (half, *joined_path(path[1:]))) for half in HALVES])
            if joined_path(path[1:]) != path[1:]:
                parts = JOINED[joined_path(path[1:])[1]]
                sizes = [shapes["layers", path[1], part][FIRST_OUTPUT_DIM] for part in parts]
                ends = np.cumsum(sizes)[:-1].tolist()
                halves = jnp.split(halves, ends, axis=FIRST_OUTPUT_DIM)[parts.index(path[2])]
            found[path] = halves[order]
        return nest(found)

    def forward(self, params, *inputs, **options):
        return self.inner.forward(self.unwoven(params), *inputs, **options)

    def head(self, params):
        return self.inner.head(self.unwoven(params))


def joined_path(path):
    """Return the path of the leaf that a leaf of the Llama is a part of."""
    return next(((path[0], joined) for joined, parts in JOINED.items() if path[-1] in parts), path)


@pytest.fixture
def llama():
    config = tiny_qwen2_config(vocab_size=61, **FOUR_LAYERS, model_type="llama")
    return Llama().build(FamilyContext(hf_config=config))


@pytest.fixture
def woven(llama):
    """Return a foreign model, which keeps to the protocol."""
    model = Woven(llama)
    return conforming("family", model, model, CausalLM)


@pytest.fixture
def phi():
    config = tiny_qwen2_config(vocab_size=61, model_type="phi3", tie_word_embeddings=False)
    return Phi3().build(FamilyContext(hf_config=config))


def same(ours, theirs):
    return jax.tree.all(jax.tree.map(lambda a, b: a.dtype == b.dtype and np.array_equal(a, b), ours, theirs))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("max_shard_bytes", [4_000, 10**9])
def test_a_foreign_layout_reads_and_writes_what_the_plain_one_does(
    tmp_path, llama, woven, scaled_params, logits_of, dtype, max_shard_bytes
):
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.dtype(dtype)), scaled_params(llama))
    for name, model, tree in (("plain", llama, params), ("woven", woven, woven.woven(params))):
        (tmp_path / name).mkdir()
        save_huggingface(tmp_path / name, model, tree, dtype, max_shard_bytes)
    read = params_in(tmp_path / "plain", woven, dtype)
    assert same(read, jax.tree.map(np.asarray, woven.woven(params)))
    assert read["even"]["attention"]["qkv"].shape == (2, 32, 4 + 2 + 2, 8)
    assert same(params_in(tmp_path / "woven", llama, dtype), params)
    tokens = np.arange(12).reshape(2, 6)
    np.testing.assert_array_equal(logits_of(woven, read, tokens), logits_of(llama, params, tokens))


def test_twin_with_layers_or_rows_in_another_order_the_weights_are_others(tmp_path, llama, scaled_params):
    save_huggingface(tmp_path, llama, scaled_params(llama), "float32")
    right = params_in(tmp_path, Woven(llama))

    def turned(path, names):
        if path == ("even", "mlp", "gate_up"):
            return names[::-1]
        return replace(names, layers=(2, 0)) if path == ("even", "mlp", "down") else names

    wrong = params_in(tmp_path, Woven(llama, turned))
    differs = jax.tree.map(lambda one, other: not np.array_equal(one, other), right, wrong)
    assert differs["even"]["mlp"] == {"gate_up": True, "down": True}
    assert sum(jax.tree.leaves(differs)) == 2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("max_shard_bytes", [4_000, 10**9])
def test_a_fused_tensor_is_read_in_parts_and_written_whole(
    tmp_path, phi, scaled_params, dtype, max_shard_bytes
):
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.dtype(dtype)), scaled_params(phi))
    save_huggingface(tmp_path, phi, params, dtype, max_shard_bytes)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert (len(files) > 2) == (max_shard_bytes == 4_000)
    stored = {name: tensor for file in files for name, tensor in load_file(file).items()}
    assert stored["model.layers.1.self_attn.qkv_proj.weight"].shape == (32 + 16 + 16, 32)
    assert stored["model.layers.0.mlp.gate_up_proj.weight"].shape == (48 + 48, 32)
    assert not [name for name in stored if "q_proj" in name]
    np.testing.assert_array_equal(
        stored["model.layers.1.self_attn.qkv_proj.weight"][32:48].T.reshape(32, 2, 8),
        params["layers"]["attention"]["key"][1],
    )
    assert same(params_in(tmp_path, phi, dtype), params)


def test_a_fused_tensor_of_another_height_is_named(tmp_path, phi, scaled_params):
    save_huggingface(tmp_path, phi, scaled_params(phi), "float32")
    tensors = load_file(tmp_path / "model.safetensors")
    name = "model.layers.1.mlp.gate_up_proj.weight"
    save_file({**tensors, name: tensors[name][:-1].copy()}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=rf"`{name}` is \(95, 32\), config.json makes it \(96, 32\)"):
        check_huggingface(tmp_path, phi)


def test_what_a_family_ignores_is_not_read_and_all_else_is_unexpected(tmp_path, llama, scaled_params):
    save_huggingface(tmp_path, llama, scaled_params(llama), "float32")
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(4, np.float32)}, file)
    check_huggingface(tmp_path, llama)

    @dataclass(frozen=True)
    class Careless(Woven):
        ignored_names = ("vision.*",)

    save_file({**tensors, "vision.0.weight": np.ones(4, np.float32)}, file)
    check_huggingface(tmp_path, Careless(llama))
    with pytest.raises(CheckpointError, match=r"unexpected `vision\.0\.weight`"):
        check_huggingface(tmp_path, llama)


NORM, QKV, DOWN = ("even", "attention_norm"), ("even", "attention", "qkv"), ("even", "mlp", "down")
QUERY = "model.layers.{layer}.self_attn.q_proj.weight"
WRONG = {
    "rows that do not follow each other from 0: 1 to 33": (NORM, {"rows": (1, 33)}),
    "`even/attention_norm` rows (0, 31), which are not as many": (NORM, {"rows": (0, 31)}),
    "`even/attention_norm` (2, 32) other `layers`": (NORM, {"layers": (0,)}),
    "rows that do not follow each other from 0: all, all": (NORM, {"layers": (1, 3)}),
    "`even/attention/qkv` tensors of different kinds": (QKV, {"num_input_dims": 0}),
    "`even/attention/qkv` tensors that do not make it up": (QKV, {"rows": (0, 72)}),
    "`even/attention/qkv` tensors that do not make it up;": (QKV, {"rows": (0, 64)}),
    "`model.layers.0.self_attn.q_proj.weight` parts of different widths": (
        DOWN,
        {"template": QUERY, "rows": (32, 64)},
    ),
    "`model.layers.0.self_attn.q_proj.weight` rows that do not follow": (QKV, {"rows": (8, 40)}),
}
"""What is told where the first name of a leaf is changed."""


@pytest.mark.parametrize("told", WRONG)
def test_names_that_do_not_fit_their_leaves_are_told_in_one_line(llama, told):
    wrong, change = WRONG[told]

    def names_of(path, names):
        if path != wrong:
            return names
        return (replace(names[0], **change), *names[1:]) if path == QKV else replace(names, **change)

    with pytest.raises(ComponentError) as caught:
        stored_tensors(Woven(llama, names_of))
    said = str(caught.value)
    assert "\n" not in said
    assert told in said
    assert "write it as burnish.llm.families.protocol:CausalLM says: `@property def parameter_names" in said

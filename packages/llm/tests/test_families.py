"""Every family against transformers, and every feature of each against itself without it."""

import importlib.util
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from burnish.llm.families.frequencies import rotary_of
from burnish.llm.families.hf_config import HFConfig
from burnish.llm.families.layers import Compute
from burnish.llm.families.parameters import nest
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.family_choice import find_family
from burnish.llm.logprobs import linear_logprobs
from burnish.llm.tensor_layout import leaf_at, stored_tensors
from burnish.llm.testing import params_in
from burnish.llm.weights import save_huggingface

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "families.json").read_text())["cases"]
LENGTH = 17
"""More than the windows and the trained length of the scaled rotary embeddings."""


def build(config):
    return find_family(config, GOLDEN).component.build(FamilyContext(hf_config=config))


def golden_params(model, directory):
    """Parameters that are a function of the names of their tensors."""
    made = {name: golden_weights(name, stored.shape, model) for name, stored in stored_tensors(model).items()}
    save_file(made, directory / "model.safetensors")
    return params_in(directory, model)


def golden_weights(name, shape, model):
    values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    center = (1 - model.shape.norm.offset) * name.endswith("norm.weight")
    return (0.3 * values + center).astype(np.float32)


@pytest.fixture(scope="module", params=CASES)
def golden(request, tmp_path_factory):
    """Model, parameters, tokens and logits that transformers has given."""
    with np.load(GOLDEN / "families.npz") as arrays:
        config = json.loads(str(arrays[f"{request.param} config"]))
        tokens, logits = arrays["tokens"], arrays[f"{request.param} logits"]
    model = build(config)
    return model, golden_params(model, tmp_path_factory.mktemp("golden")), tokens, logits


def test_logits_are_the_recorded_ones(golden, logits_of, assert_same_logits):
    model, params, tokens, expected = golden
    assert_same_logits(logits_of(model, params, tokens), expected)


def test_logits_of_layers_in_a_compiled_loop_are_the_recorded_ones(golden, logits_of, assert_same_logits):
    model, params, tokens, expected = golden
    looped = replace(model, compute=Compute(unroll=1))
    assert_same_logits(logits_of(looped, params, tokens), expected)


def without_windows(shape):
    return replace(shape, kinds=tuple(replace(k, spec=replace(k.spec, window=None)) for k in shape.kinds))


def without_score_caps(shape):
    return replace(shape, kinds=tuple(replace(k, spec=replace(k.spec, softcap=None)) for k in shape.kinds))


def with_scores_of_head_dim(shape):
    scale = shape.head_dim**-0.5
    return replace(shape, kinds=tuple(replace(k, spec=replace(k.spec, scale=scale)) for k in shape.kinds))


def with_plain_rotation(shape):
    plain = rotary_of(HFConfig({}, ""), theta=100.0, head_dim=shape.head_dim, max_positions=64)
    return replace(shape, kinds=tuple(replace(kind, rotary=plain) for kind in shape.kinds))


def with_another_base(shape):
    other = rotary_of(HFConfig({}, ""), theta=101.0, head_dim=shape.head_dim, max_positions=64)
    return replace(shape, kinds=tuple(replace(kind, rotary=other) for kind in shape.kinds))


def with_kinds_the_other_way_round(shape):
    return replace(shape, kind_of_layers=tuple(len(shape.kinds) - 1 - kind for kind in shape.kind_of_layers))


def with_another_activation(shape):
    return replace(shape, activation="silu" if shape.activation == "gelu_tanh" else "gelu_tanh")


FEATURES = [
    without_windows,
    without_score_caps,
    with_scores_of_head_dim,
    with_plain_rotation,
    with_another_base,
    with_kinds_the_other_way_round,
    with_another_activation,
    lambda shape: replace(shape, logit_softcap=None),
    lambda shape: replace(shape, embedding_scale=None),
    lambda shape: replace(shape, norm=replace(shape.norm, offset=0.0)),
    lambda shape: replace(shape, norm=replace(shape.norm, eps=1.1 * shape.norm.eps)),
]
"""Each takes one feature away; a model that has not got it stays as it is."""


def test_twin_without_any_one_feature_logits_are_others(golden, logits_of, assert_same_logits):
    model, params, tokens, expected = golden
    broken = {replace(model, shape=change(model.shape)) for change in FEATURES} - {model}
    assert len(broken) >= 3
    for other in broken:
        with pytest.raises(AssertionError):
            assert_same_logits(logits_of(other, params, tokens), expected)


def test_twin_with_any_one_leaf_changed_logits_are_others(golden, logits_of, assert_same_logits):
    model, params, tokens, expected = golden
    generator = np.random.default_rng(0)
    for path in model.parameter_names:
        flat = {other: leaf_at(params, other) for other in model.parameter_names}
        flat[path] = flat[path] * generator.uniform(0.9, 1.1, flat[path].shape).astype(np.float32)
        with pytest.raises(AssertionError):
            assert_same_logits(logits_of(model, nest(flat), tokens), expected)


def test_decoding_with_a_cache_gives_the_logits_of_the_full_forward(golden, assert_same_logits):
    model, params, tokens, expected = golden
    step, cache, found = jax.jit(model.forward), model.init_cache(len(tokens), LENGTH, jnp.float32), []
    ids = jnp.asarray(tokens, jnp.int32)
    for start, end in ((0, 7), *((index, index + 1) for index in range(7, LENGTH))):
        positions = jnp.tile(jnp.arange(start, end), (len(tokens), 1))
        hidden, cache = step(params, ids[:, start:end], positions, jnp.ones_like(positions), cache)
        found.append(model.head(params).logits(hidden))
    assert_same_logits(np.concatenate(found, axis=1), expected)


@pytest.fixture(scope="module", params=CASES)
def live(request, tmp_path_factory):
    """Directory, tokens, and logits and gradients of a random checkpoint that transformers made."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed; golden files stand in")
    import torch
    import transformers

    kind, options = CASES[request.param]
    common = json.loads((GOLDEN / "families.json").read_text())["common"]
    config = getattr(transformers, f"{kind}Config")(**common | options)
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind.removesuffix('Text')}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(float(name.endswith("norm.weight") and "Gemma" not in kind), 0.3)
    directory = tmp_path_factory.mktemp("model")
    model.save_pretrained(directory)
    tokens = np.random.default_rng(1).integers(0, 61, (3, LENGTH))
    logits = model(torch.from_numpy(tokens)).logits
    torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), torch.from_numpy(tokens)[:, 1:].flatten()
    ).backward()
    gradients = {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}
    return directory, tokens, logits.detach().numpy(), gradients


SPARSE = {"block_sparse_moe": "mlp", ".w1.": ".gate_proj.", ".w2.": ".down_proj.", ".w3.": ".up_proj."}
"""What transformers calls parts of a Mixtral in memory."""


def fused(stored):
    """Tensors by the names that transformers has for them in memory, where a layer's experts are one."""
    found, experts = {}, {}
    for name, tensor in stored.items():
        for old, new in SPARSE.items():
            name = name.replace(old, new)
        if match := re.fullmatch(r"(.*\.experts)\.(\d+)\.(\w+)\.weight", name):
            experts.setdefault(match[1], {})[int(match[2]), match[3]] = tensor
        else:
            found[name] = tensor
    for prefix, parts in experts.items():
        numbers = sorted({number for number, _ in parts})
        pairs = [np.concatenate([parts[n, "gate_proj"], parts[n, "up_proj"]]) for n in numbers]
        found[f"{prefix}.gate_up_proj"] = np.stack(pairs)
        found[f"{prefix}.down_proj"] = np.stack([parts[n, "down_proj"] for n in numbers])
    return found


def test_logits_and_gradients_are_those_of_transformers(live, assert_same_logits, tmp_path):
    directory, tokens, expected, gradients = live
    model = build(json.loads((directory / "config.json").read_text()))
    ids = jnp.asarray(tokens, jnp.int32)
    positions = jnp.tile(jnp.arange(LENGTH), (len(tokens), 1))

    def loss(params):
        hidden, head = model.forward(params, ids, positions, jnp.ones_like(ids)).hidden, model.head(params)
        return -jnp.mean(linear_logprobs(hidden[:, :-1], head, ids[:, 1:]).logprob), head.logits(hidden)

    found, logits = jax.jit(jax.grad(loss, has_aux=True))(params_in(directory, model))
    assert_same_logits(np.asarray(logits), expected)
    save_huggingface(tmp_path, model, found, "float32")
    named = fused(load_file(tmp_path / "model.safetensors"))
    assert set(named) == set(gradients)
    for name, gradient in gradients.items():
        assert np.linalg.norm(named[name] - gradient) <= 1e-4 * np.linalg.norm(gradient), name

import dataclasses
import importlib.util
import json
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.config.family import Qwen2
from burnish.llm.families.layers import Compute
from burnish.llm.families.parameters import nest
from burnish.llm.families.protocol import CausalLM, FamilyContext
from burnish.llm.weights import from_huggingface, huggingface_shape, load_huggingface, tensor_names
from burnish.platform.errors import ConfigError

GOLDEN = Path(__file__).parent / "golden" / "qwen2.npz"


def replaced(params, path, change):
    """Return the parameters with one leaf changed."""
    if not path:
        return change(params)
    return {**params, path[0]: replaced(params[path[0]], path[1:], change)}


@pytest.fixture(scope="module", params=["tied", "untied"])
def transformers_case(request, tmp_path_factory):
    """Return directory, tokens and logits of a random checkpoint that transformers made."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed; golden files stand in")
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=61,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=48,
        rope_parameters={"rope_type": "default", "rope_theta": 100.0},
        rms_norm_eps=1e-3,
        tie_word_embeddings=request.param == "tied",
    )
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config).eval()
    tokens = np.random.default_rng(1).integers(0, 61, (3, 17))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(float(name.endswith("norm.weight")), 0.3)
        logits = model(torch.from_numpy(tokens)).logits.numpy()
    directory = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(directory)
    return directory, tokens, logits


def read(directory, **changes):
    config = json.loads((directory / "config.json").read_text())
    return Qwen2().build(FamilyContext(hf_config={**config, **changes})), load_huggingface(
        directory, Qwen2().build(FamilyContext(hf_config=config))
    )


def test_logits_on_a_transformers_checkpoint_are_those_of_transformers(
    transformers_case, logits_of, assert_same_logits
):
    directory, tokens, expected = transformers_case
    model, params = read(directory)
    assert_same_logits(logits_of(model, params, tokens), expected)


@pytest.mark.parametrize(
    "path",
    [
        ("layers", "attention", "query_bias"),
        ("layers", "attention", "key_bias"),
        ("layers", "attention", "value_bias"),
        ("layers", "attention_norm"),
        ("layers", "mlp_norm"),
        ("final_norm",),
    ],
    ids="/".join,
)
def test_logits_with_a_leaf_dropped_are_not_those_of_transformers(
    transformers_case, logits_of, assert_same_logits, path
):
    directory, tokens, expected = transformers_case
    model, params = read(directory)
    neutral = np.ones_like if path[-1].endswith("norm") else np.zeros_like
    with pytest.raises(AssertionError):
        assert_same_logits(logits_of(model, replaced(params, path, neutral), tokens), expected)


@pytest.mark.parametrize(
    "change", [{"rope_parameters": {"rope_theta": 101.0}}, {"rms_norm_eps": 1.1e-3}], ids=str
)
def test_logits_with_a_wrong_constant_are_not_those_of_transformers(
    transformers_case, logits_of, assert_same_logits, change
):
    directory, tokens, expected = transformers_case
    model, params = read(directory, **change)
    with pytest.raises(AssertionError):
        assert_same_logits(logits_of(model, params, tokens), expected)


def golden_case(key):
    """Return model, parameters, tokens and logits of the golden file."""
    with np.load(GOLDEN) as arrays:
        config, logits = json.loads(str(arrays[f"{key}_config"])), arrays[f"{key}_logits"]
        tokens = arrays["tokens"]
    model = Qwen2().build(FamilyContext(hf_config=config))
    leaves = {}
    for path, name in model.parameter_names.items():
        abstract = model.abstract("float32")
        for part in path:
            abstract = abstract[part]
        one = abstract.shape[1:] if name.is_stacked else abstract.shape
        stored = [
            golden_weights(key, huggingface_shape(name, one)) for key in tensor_names(name, abstract.shape)
        ]
        made = [from_huggingface(tensor, name, one) for tensor in stored]
        leaves[path] = np.stack(made) if name.is_stacked else made[0]
    return model, nest(leaves), tokens, logits


def golden_weights(name, shape):
    values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    return (0.3 * values + name.endswith("norm.weight")).astype(np.float32)


@pytest.mark.parametrize("key", ["tied", "untied"])
def test_logits_on_golden_weights_are_the_recorded_ones(key, logits_of, assert_same_logits):
    model, params, tokens, expected = golden_case(key)
    assert_same_logits(logits_of(model, params, tokens), expected)


def test_logits_on_golden_weights_with_two_heads_swapped_are_not_the_recorded_ones(
    logits_of, assert_same_logits
):
    model, params, tokens, expected = golden_case("tied")
    swapped = replaced(params, ("layers", "attention", "key"), lambda key: key[:, :, ::-1])
    with pytest.raises(AssertionError):
        assert_same_logits(logits_of(model, swapped, tokens), expected)


def test_a_head_dim_of_its_own_is_used(hf_config):
    shape = (
        Qwen2()
        .build(FamilyContext(hf_config={**hf_config, "head_dim": 16}))
        .abstract("float32")["layers"]["attention"]["query"]
        .shape
    )
    assert shape == (2, 32, 4, 16)


def test_bfloat16_parameters_give_bfloat16_hidden_states(qwen2):
    tree = qwen2.abstract("bfloat16")
    ids = jax.ShapeDtypeStruct((2, 5), "int32")
    hidden, cache = jax.eval_shape(qwen2.forward, tree, ids, ids, ids, qwen2.init_cache(2, 8, jnp.bfloat16))
    assert {leaf.dtype for leaf in jax.tree.leaves((hidden, cache))} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"use_sliding_window": True}, "sliding-window"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "sliding-window"),
        ({"rope_scaling": {"type": "yarn"}}, "yarn"),
        ({"rope_parameters": {"rope_type": "linear"}}, "linear"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
    ],
    ids=str,
)
def test_an_unsupported_feature_is_refused_by_name_in_one_line(hf_config, change, named):
    with pytest.raises(ConfigError, match=named) as caught:
        Qwen2().build(FamilyContext(hf_config={**hf_config, **change}))
    assert "\n" not in str(caught.value)


def test_a_config_without_a_size_is_refused_by_name(hf_config):
    del hf_config["hidden_size"]
    with pytest.raises(ConfigError, match="hidden_size"):
        Qwen2().build(FamilyContext(hf_config=hf_config))


@pytest.mark.parametrize(
    "places",
    [
        {"rope_theta": 77.0},
        {"rope_parameters": {"rope_theta": 77.0}},
        {"rope_theta": 10.0, "rope_parameters": {"rope_type": "default", "rope_theta": 77.0}},
        {"rope_theta": 10.0, "rope_scaling": {"rope_type": "default", "rope_theta": 77.0}},
        {"rope_parameters": {"rope_theta": 5.0}, "rope_scaling": {"type": "default", "rope_theta": 77.0}},
        {"rope_theta": 77.0, "rope_scaling": {"rope_type": "default"}},
    ],
    ids=str,
)
def test_rope_theta_is_read_where_transformers_reads_it(hf_config, places):
    import transformers

    plain = {name: value for name, value in hf_config.items() if not name.startswith("rope")}
    assert Qwen2().build(FamilyContext(hf_config=plain | places)).shape.rope_theta == 77.0
    assert transformers.Qwen2Config(**(plain | places)).rope_parameters["rope_theta"] == 77.0


def test_two_models_of_one_shape_are_equal_whatever_else_their_configs_say(hf_config):
    one, other = (
        Qwen2().build(FamilyContext(hf_config=hf_config)),
        Qwen2().build(FamilyContext(hf_config={**hf_config, "eos_token_id": 5})),
    )
    assert one == other
    assert hash(one) == hash(other)
    assert other.hf_config["eos_token_id"] == 5
    assert isinstance(one, CausalLM)
    assert one != dataclasses.replace(one, compute=Compute(remat="full"))


def test_init_is_a_function_of_the_seed_alone(qwen2):
    first, again, other = qwen2.init(3), qwen2.init(3), qwen2.init(4)
    assert jax.tree.all(jax.tree.map(np.array_equal, first, again))
    assert not np.array_equal(first["embed"], other["embed"])
    assert first["embed"].std() == pytest.approx(0.02, rel=0.05)
    assert not first["layers"]["attention"]["query_bias"].any()
    assert (first["final_norm"] == 1).all()
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), first)
    assert shapes == qwen2.abstract("float32")

"""A decoder as a value: what its config must say, what it is equal to, and its fresh parameters."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.config.family import Qwen2
from burnish.llm.families.layers import Compute
from burnish.llm.families.protocol import CausalLM, FamilyContext
from burnish.platform.errors import ConfigError

STRETCHED = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 64}


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
    hidden, cache, _ = jax.eval_shape(
        qwen2.forward, tree, ids, ids, ids, qwen2.init_cache(2, 8, jnp.bfloat16)
    )
    assert {leaf.dtype for leaf in jax.tree.leaves((hidden, cache))} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"layer_types": ["full_attention"]}, "layer_types has 1 entries for 2 layers"),
        ({"layer_types": ["full_attention", "chunked_attention"]}, "layer_types names .'chunked_attention'"),
        ({"use_sliding_window": True, "max_window_layers": 1, "sliding_window": 0}, "sliding_window=0"),
        ({"rope_scaling": {"type": "longrope"}}, "longrope"),
        ({"rope_scaling": {"type": "yarn", "factor": -1}}, "factor=-1"),
        ({"rope_parameters": {"rope_type": "linear"}}, "'factor' is missing"),
        (
            {"rope_scaling": {"rope_type": "yarn"}, "max_position_embeddings": None},
            "'original_max_position_embeddings' is missing",
        ),
        ({"rope_scaling": STRETCHED, "rope_theta": 1.0}, "rope_theta=1 with 'yarn'"),
        ({"rope_scaling": {**STRETCHED, "mscale": -10.0}}, "mscale=-10"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
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
    [kind] = Qwen2().build(FamilyContext(hf_config=plain | places)).shape.kinds
    assert kind.rotary.frequencies[1] == pytest.approx(77.0 ** (-2 / 8))
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

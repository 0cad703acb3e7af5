"""Eight virtual CPU devices, no silent rank promotion, and tiny models for every test of the package."""

import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import jax
import jax.numpy as jnp
import numpy as np
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

HF_CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "vocab_size": 61,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "hidden_act": "silu",
    "rope_theta": 100.0,
    "rms_norm_eps": 1e-3,
    "tie_word_embeddings": True,
    "max_position_embeddings": 64,
    "use_sliding_window": False,
    "eos_token_id": 60,
}


@pytest.fixture
def hf_config():
    """Return the `config.json` of a tiny Qwen2 whose norm epsilon and rope theta are felt."""
    return dict(HF_CONFIG)


@pytest.fixture(params=["tied", "untied"])
def qwen2(request):
    """Return a tiny Qwen2, with and without a head of its own."""
    from burnish.llm.config.family import Qwen2
    from burnish.llm.families.protocol import FamilyContext

    return Qwen2().build(
        FamilyContext(hf_config={**HF_CONFIG, "tie_word_embeddings": request.param == "tied"})
    )


@pytest.fixture
def scaled_params():
    """Return a maker of parameters so large, biases and norms included, that every feature is felt."""

    def make(model, seed=0, scale=0.3):
        generator = np.random.default_rng(seed)
        return jax.tree.map(
            lambda leaf: (scale * generator.standard_normal(leaf.shape) + (leaf == 1)).astype(np.float32),
            model.init(seed),
        )

    return make


def _logits(model, params, tokens, positions, segment_ids):
    hidden, _ = model.forward(params, tokens, positions, segment_ids)
    return jnp.einsum("btd,dv->btv", hidden, model.head(params))


_jitted_logits = jax.jit(_logits, static_argnums=0)


@pytest.fixture
def logits_of():
    """Return a function that gives every logit of a batch; positions default to 0, 1, ... in one segment."""

    def logits(model, params, tokens, positions=None, segment_ids=None):
        tokens = jnp.asarray(tokens, jnp.int32)
        if positions is None:
            positions = np.tile(np.arange(tokens.shape[1]), (tokens.shape[0], 1))
        if segment_ids is None:
            segment_ids = np.ones(tokens.shape)
        return np.asarray(
            _jitted_logits(
                model, params, tokens, jnp.asarray(positions, jnp.int32), jnp.asarray(segment_ids, jnp.int32)
            )
        )

    return logits


@pytest.fixture
def assert_same_logits():
    """Return the check of every parity: 1e-5 * max(1, max |logit|), on logits that vary by 1 at least."""

    def check(actual, expected):
        assert np.std(expected) >= 1, "the logits are too small to show a difference"
        assert np.abs(actual - expected).max() <= 1e-5 * max(1, np.abs(expected).max())

    return check


@pytest.fixture
def mesh():
    """Return a maker of meshes over the virtual devices."""

    def make(dp=1, fsdp=1, tp=1):
        axis_types = (jax.sharding.AxisType.Auto,) * 3
        devices = jax.devices()[: dp * fsdp * tp]
        return jax.make_mesh((dp, fsdp, tp), ("dp", "fsdp", "tp"), axis_types, devices=devices)

    return make

"""What tests with a model would else copy: a tiny Qwen2, parameters that are felt, and all its logits.

For tests alone; nothing imports it at run time.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from burnish.llm.bundle import Bundle
from burnish.llm.config.family import Qwen2
from burnish.llm.config.model import Tiny
from burnish.llm.families.protocol import CausalLM, FamilyContext
from burnish.llm.weights import load_huggingface

SMALL_MODEL = Tiny(hidden_size=32, num_heads=2, num_kv_heads=1, intermediate_size=48, scan_unroll=1)
"""A model that compiles and trains within seconds."""


def tiny_qwen2_config(vocab_size: int, **changes: Any) -> dict[str, Any]:
    """Return the `config.json` of a Qwen2 of two layers whose rope theta is felt on short texts."""
    return {
        "model_type": "qwen2",
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 48,
        "rope_theta": 100.0,
        "tie_word_embeddings": True,
        **changes,
    }


def tiny_qwen2(vocab_size: int, **changes: Any) -> CausalLM:
    """Return the model of `tiny_qwen2_config`."""
    return Qwen2().build(FamilyContext(hf_config=tiny_qwen2_config(vocab_size, **changes)))


def params_of(bundle: Bundle) -> dict[str, Any]:
    """Return the parameters of a bundle in fp32 and numpy."""
    return bundle.load(bundle.model.abstract("float32"))


def params_in(directory: Path, model: CausalLM, dtype: str = "float32") -> dict[str, Any]:
    """Return the parameters in a Hugging Face directory in numpy."""
    return load_huggingface(directory, model, model.abstract(dtype))


def scaled_params(model: CausalLM, seed: int = 0, scale: float = 0.3) -> dict[str, Any]:
    """Return parameters so large, biases and norms included, that every feature is felt."""
    generator = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: (scale * generator.standard_normal(leaf.shape) + (leaf == 1)).astype(np.float32),
        model.init(seed),
    )


def logits_of(
    model: CausalLM,
    params: dict[str, Any],
    tokens: Int[np.ndarray, "b t"],
    positions: Int[np.ndarray, "b t"] | None = None,
    segment_ids: Int[np.ndarray, "b t"] | None = None,
) -> Float[np.ndarray, "b t v"]:
    """Return every logit of a batch by one pass without a cache; positions default to 0, 1, ..."""
    tokens_bt = jnp.asarray(tokens, jnp.int32)
    if positions is None:
        positions = np.tile(np.arange(tokens_bt.shape[1]), (tokens_bt.shape[0], 1))
    if segment_ids is None:
        segment_ids = np.ones(tokens_bt.shape, np.int32)
    positions_bt, segments_bt = jnp.asarray(positions, jnp.int32), jnp.asarray(segment_ids, jnp.int32)
    return np.asarray(_logits(model, params, tokens_bt, positions_bt, segments_bt))


def _forward(model: CausalLM, params: Any, tokens: Any, positions: Any, segment_ids: Any) -> jax.Array:
    hidden = model.forward(params, tokens, positions, segment_ids).hidden
    return model.head(params).logits(hidden)


_logits = jax.jit(_forward, static_argnums=0)

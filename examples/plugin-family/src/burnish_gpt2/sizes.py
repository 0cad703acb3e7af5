"""What a `config.json` says of a GPT-2."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from burnish.platform import ConfigError

PLAIN: Mapping[str, Any] = {
    "activation_function": "gelu_new",
    "add_cross_attention": False,
    "quantization_config": None,
    "reorder_and_upcast_attn": False,
    "scale_attn_by_inverse_layer_idx": False,
    "scale_attn_weights": True,
    "tie_word_embeddings": True,
}
"""Options of transformers, each with the only value that is computed here."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The numbers that the computation depends on; hashable."""

    vocab_size: int
    num_positions: int
    width: int
    num_layers: int
    num_heads: int
    inner: int
    eps: float
    initializer_range: float
    config_json: str = field(compare=False, repr=False)


def read_sizes(config: Mapping[str, Any]) -> Sizes:
    """Return the sizes; ConfigError names an option that would change the numbers in silence."""
    for name, plain in PLAIN.items():
        if config.get(name, plain) != plain:
            raise ConfigError(
                f"config.json of the model: gpt2 here has no {name}={config[name]!r} (only {plain!r})"
            )
    width = _count(config, "n_embd", 768)
    heads = _count(config, "n_head", 12)
    if width % heads:
        raise ConfigError(f"config.json of the model: n_embd={width} must be a multiple of n_head={heads}")
    return Sizes(
        vocab_size=_count(config, "vocab_size", 50257),
        num_positions=_count(config, "n_positions", 1024),
        width=width,
        num_layers=_count(config, "n_layer", 12),
        num_heads=heads,
        inner=_count(config, "n_inner", 4 * width),
        eps=float(config.get("layer_norm_epsilon", 1e-5)),
        initializer_range=float(config.get("initializer_range", 0.02)),
        config_json=json.dumps(dict(config), sort_keys=True),
    )


def _count(config: Mapping[str, Any], name: str, default: int) -> int:
    """Return a size; null, as transformers writes for `n_inner`, stands for the default."""
    value = config.get(name)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"config.json of the model: {name}={value!r} is no whole number of at least 1")
    return value

"""The sizes of a Qwen2, read from its `config.json`; a feature that is not supported is refused by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from burnish.platform.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Qwen2Shape:
    """All numbers the computation depends on."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    rope_theta: float
    rms_norm_eps: float
    tie_word_embeddings: bool
    initializer_range: float


def read_shape(hf_config: Mapping[str, Any]) -> Qwen2Shape:
    """Return the sizes a `config.json` states; `ConfigError` names what is absent or unsupported."""
    _refuse_unsupported(hf_config)
    try:
        heads = int(hf_config["num_attention_heads"])
        hidden_size = int(hf_config["hidden_size"])
        return Qwen2Shape(
            vocab_size=int(hf_config["vocab_size"]),
            hidden_size=hidden_size,
            num_layers=int(hf_config["num_hidden_layers"]),
            num_heads=heads,
            num_kv_heads=int(hf_config.get("num_key_value_heads") or heads),
            head_dim=int(hf_config.get("head_dim") or hidden_size // heads),
            intermediate_size=int(hf_config["intermediate_size"]),
            rope_theta=_rope_theta(hf_config),
            rms_norm_eps=float(hf_config.get("rms_norm_eps", 1e-6)),
            tie_word_embeddings=bool(hf_config.get("tie_word_embeddings", False)),
            initializer_range=float(hf_config.get("initializer_range", 0.02)),
        )
    except KeyError as error:
        raise ConfigError(f"config.json of the model: {error} is missing, and qwen2 needs it") from error


def _rope(hf_config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a config says of its rotary embedding, the older name first, as transformers does."""
    return hf_config.get("rope_scaling") or hf_config.get("rope_parameters") or {}


def _rope_theta(hf_config: Mapping[str, Any]) -> float:
    return float(_rope(hf_config).get("rope_theta") or hf_config.get("rope_theta") or 10_000.0)


def _refuse_unsupported(hf_config: Mapping[str, Any]) -> None:
    """Refuse what would silently change the numbers."""
    rope = _rope(hf_config)
    rope_type = rope.get("rope_type") or rope.get("type") or "default"
    is_sliding = hf_config.get("use_sliding_window") or "sliding_attention" in (
        hf_config.get("layer_types") or ()
    )
    unsupported = {
        f"rope_type={rope_type!r} (only 'default')": rope_type != "default",
        "sliding-window attention (set use_sliding_window to false)": is_sliding,
        f"hidden_act={hf_config.get('hidden_act')!r} (only 'silu')": hf_config.get("hidden_act", "silu")
        != "silu",
        "quantization_config (save the weights unquantized first)": hf_config.get("quantization_config"),
    }
    for feature, is_used in unsupported.items():
        if is_used:
            raise ConfigError(f"config.json of the model: qwen2 here does not support {feature}")

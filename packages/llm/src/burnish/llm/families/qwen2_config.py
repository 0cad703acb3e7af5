"""The sizes of a Qwen2, read from its `config.json`; a feature that is not supported is refused by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from burnish.platform.configuration.option_types import check
from burnish.platform.configuration.ranges import Count, NotNegative, Positive, SmallCount
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
    """Return the sizes a `config.json` states; `ConfigError` names what is absent, wrong or unsupported."""
    try:
        _refuse_unsupported(hf_config)
        heads = _read(hf_config, "num_attention_heads", Count)
        hidden_size = _read(hf_config, "hidden_size", Count)
        shape = Qwen2Shape(
            vocab_size=_read(hf_config, "vocab_size", Count),
            hidden_size=hidden_size,
            num_layers=_read(hf_config, "num_hidden_layers", SmallCount),
            num_heads=heads,
            num_kv_heads=_read(hf_config, "num_key_value_heads", Count, heads),
            head_dim=_read(hf_config, "head_dim", Count, hidden_size // heads),
            intermediate_size=_read(hf_config, "intermediate_size", Count),
            rope_theta=_rope_theta(hf_config),
            rms_norm_eps=_read(hf_config, "rms_norm_eps", NotNegative, 1e-6),
            tie_word_embeddings=_read(hf_config, "tie_word_embeddings", bool, default=False),
            initializer_range=_read(hf_config, "initializer_range", NotNegative, 0.02),
        )
        _refuse_misfit(shape)
    except ConfigError as error:
        raise ConfigError(f"config.json of the model: {error}") from error
    return shape


def _read(hf_config: Mapping[str, Any], name: str, kind: Any, default: Any = None) -> Any:
    """Return one value, checked against its type; the default where it is absent or null."""
    value = hf_config.get(name)
    if value is not None:
        return check(name, kind, value)
    if default is None:
        raise ConfigError(f"'{name}' is missing, and qwen2 needs it")
    return default


def _refuse_misfit(shape: Qwen2Shape) -> None:
    """Refuse heads that cannot be rotated or shared."""
    if shape.head_dim < 2 or shape.head_dim % 2:
        raise ConfigError(f"head_dim={shape.head_dim}, or hidden_size / num_attention_heads, must be even")
    if shape.num_heads % shape.num_kv_heads:
        raise ConfigError(
            f"num_attention_heads={shape.num_heads} must be a multiple of "
            f"num_key_value_heads={shape.num_kv_heads}"
        )


def _rope(hf_config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a config says of its rotary embedding, the older name first, as transformers does."""
    names = ("rope_scaling", "rope_parameters")
    said = [_read(hf_config, name, dict[str, Any], {}) for name in names]
    return said[0] or said[1]


def _rope_theta(hf_config: Mapping[str, Any]) -> float:
    return _read(_rope(hf_config), "rope_theta", Positive, _read(hf_config, "rope_theta", Positive, 10_000.0))


def _refuse_unsupported(hf_config: Mapping[str, Any]) -> None:
    """Refuse what would silently change the numbers."""
    rope = _rope(hf_config)
    rope_type = rope.get("rope_type") or rope.get("type") or "default"
    kinds = _read(hf_config, "layer_types", list[str], [])
    unsupported = {
        f"rope_type={rope_type!r} (only 'default')": rope_type != "default",
        "sliding-window attention (set use_sliding_window to false)": hf_config.get("use_sliding_window"),
        "sliding-window attention (set each of layer_types to 'full_attention')": "sliding_attention"
        in kinds,
        f"hidden_act={hf_config.get('hidden_act')!r} (only 'silu')": hf_config.get("hidden_act", "silu")
        != "silu",
        "quantization_config (save the weights unquantized first)": hf_config.get("quantization_config"),
    }
    for feature, is_used in unsupported.items():
        if is_used:
            raise ConfigError(f"qwen2 here does not support {feature}")

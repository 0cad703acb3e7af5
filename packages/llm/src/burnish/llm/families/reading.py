"""From a `config.json` to an `Architecture`: what all families read alike."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from burnish.llm.attention import AttentionSpec
from burnish.llm.families.architecture import Architecture, LayerKind
from burnish.llm.families.decoder import DecoderLM
from burnish.llm.families.frequencies import rotary_of
from burnish.llm.families.hf_config import HFConfig
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.families.rotary import Rotary
from burnish.platform.configuration.ranges import Count, NotNegative, Positive, SmallCount
from burnish.platform.errors import ConfigError

FULL, SLIDING = "full_attention", "sliding_attention"
"""What transformers calls the kinds of layers."""


def decoder_of(context: FamilyContext, family: str, read: Callable[[HFConfig], Architecture]) -> DecoderLM:
    """Return the model of a context's `config.json`; a ConfigError names what it lacks or cannot have."""
    config = HFConfig(context.hf_config, family)
    try:
        shape = read(config)
    except ConfigError as error:
        raise ConfigError(f"config.json of the model: {error}") from error
    return DecoderLM(shape, context.compute, json.dumps(dict(context.hf_config), sort_keys=True))


def sizes(config: HFConfig, *, head_dim: int | None = None, ties: bool = False) -> dict[str, Any]:
    """Return the fields of an `Architecture` that every `config.json` has; the defaults are the family's."""
    if config.get("quantization_config"):
        config.refuse("quantization_config", "save the weights unquantized")
    return {
        **_heads(config, head_dim),
        "vocab_size": config.value("vocab_size", Count),
        "intermediate_size": config.value("intermediate_size", Count),
        "tie_word_embeddings": config.flag("tie_word_embeddings", default=ties),
        "initializer_range": config.value("initializer_range", NotNegative, 0.02),
    }


def epsilon(config: HFConfig, default: float = 1e-6) -> float:
    """Return what norms add to the mean square."""
    return config.value("rms_norm_eps", NotNegative, default)


def require_activation(config: HFConfig, legal: Sequence[str], *names: str) -> None:
    """Refuse another activation than the family's, by whichever name the config has it."""
    for name in names:
        if (value := config.get(name)) is not None and value not in legal:
            config.refuse(f"{name}={value!r}", f"only {' or '.join(map(repr, legal))}")


def layer_types(config: HFConfig, default: Callable[[int], str]) -> tuple[str, ...]:
    """Return the kind of each layer, as the config lists them or by the family's own rule."""
    count = config.value("num_hidden_layers", SmallCount)
    types = config.value("layer_types", list[str], []) or [default(index) for index in range(count)]
    unknown = sorted({*types} - {FULL, SLIDING})
    if len(types) != count or unknown:
        said = f"names {unknown}" if unknown else f"has {len(types)} entries for {count} layers"
        raise ConfigError(f"layer_types {said}; give each layer {FULL!r} or {SLIDING!r}")
    return tuple(types)


def layers(
    config: HFConfig,
    types: Sequence[str],
    rotaries: Mapping[str, Rotary],
    *,
    window: int | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """Return the fields of an `Architecture` that say of what kind each layer is.

    `rotaries` has one for each of the types, and `window` is that of the sliding ones where it is not the
    config's; the other arguments are those of an `AttentionSpec`.
    """
    names = sorted(set(types))
    windows: dict[str, int | None] = {FULL: None}
    if SLIDING in names:
        windows[SLIDING] = window or config.value("sliding_window", Count)
    kinds = [
        LayerKind(spec=AttentionSpec(window=windows[name], **spec), rotary=rotaries[name]) for name in names
    ]
    return {"kinds": tuple(kinds), "kind_of_layers": tuple(names.index(each) for each in types)}


def rotary(config: HFConfig, head_dim: int, theta: float = 10_000.0) -> dict[str, Rotary]:
    """Return one rotary embedding for all kinds of layers; the older name counts, as for transformers."""
    rope = config.part("rope_scaling")
    rope = rope if rope.values else config.part("rope_parameters")
    base = rope.value("rope_theta", Positive, config.value("rope_theta", Positive, theta))
    made = rotary_of(rope, theta=base, head_dim=head_dim, max_positions=max_positions(config))
    return {FULL: made, SLIDING: made}


def window_of(config: HFConfig, default: int | None) -> int | None:
    """Return the window of attention; null takes it away, and its absence stands for the family's own."""
    if "sliding_window" not in config.values:
        return default
    return None if config.get("sliding_window") is None else config.value("sliding_window", Count)


def max_positions(config: HFConfig) -> int:
    """Return the positions that a config speaks of; 0 where it does not."""
    return config.value("max_position_embeddings", NotNegative, 0.0)


def _heads(config: HFConfig, default: int | None) -> dict[str, int]:
    """Return the numbers of the attention's heads; ConfigError where they cannot be rotated or shared."""
    heads, width = config.value("num_attention_heads", Count), config.value("hidden_size", Count)
    kv_heads = config.value("num_key_value_heads", Count, heads)
    head_dim = config.value("head_dim", Count, default or width // heads)
    if head_dim < 2 or head_dim % 2:
        raise ConfigError(f"head_dim={head_dim}, or hidden_size / num_attention_heads, must be even")
    if heads % kv_heads:
        raise ConfigError(f"num_attention_heads={heads} must be a multiple of num_key_value_heads={kv_heads}")
    return {"hidden_size": width, "num_heads": heads, "num_kv_heads": kv_heads, "head_dim": head_dim}

"""Qwen2 and 2.5, with biased queries, keys and values; Qwen3, which norms queries and keys instead."""

from collections.abc import Callable

from burnish.llm.families.architecture import Architecture, NormSpec
from burnish.llm.families.hf_config import HFConfig
from burnish.llm.families.reading import (
    FULL,
    SLIDING,
    epsilon,
    layer_types,
    layers,
    require_activation,
    rotary,
    sizes,
)
from burnish.platform.configuration.ranges import NotNegative


def read_qwen2(config: HFConfig) -> Architecture:
    """Return the architecture of a Qwen2."""
    require_activation(config, ("silu",), "hidden_act")
    made = sizes(config)
    types = layer_types(config, _upper_layers_slide(config))
    return Architecture(
        **made,
        **layers(config, types, rotary(config, made["head_dim"]), scale=made["head_dim"] ** -0.5),
        norm=NormSpec(eps=epsilon(config)),
        qkv_bias=True,
    )


def read_qwen3(config: HFConfig) -> Architecture:
    """Return the architecture of a dense Qwen3."""
    require_activation(config, ("silu",), "hidden_act")
    made, biased = sizes(config, head_dim=128), config.flag("attention_bias", default=False)
    types = layer_types(config, _upper_layers_slide(config))
    return Architecture(
        **made,
        **layers(config, types, rotary(config, made["head_dim"]), scale=made["head_dim"] ** -0.5),
        norm=NormSpec(eps=epsilon(config)),
        qk_norm="head",
        qkv_bias=biased,
        out_bias=biased,
    )


def _upper_layers_slide(config: HFConfig) -> Callable[[int], str]:
    """Return the kind of a layer by its index: with a window, those above `max_window_layers` have it."""
    slides = (
        config.flag("use_sliding_window", default=False)
        and config.values.get("sliding_window", 0) is not None
    )
    first = config.value("max_window_layers", NotNegative, 28.0)
    return lambda index: SLIDING if slides and index >= first else FULL

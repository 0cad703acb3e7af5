"""Llama 2 and 3, and Mistral: the plain decoder, the latter with a window over all layers."""

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
    window_of,
)


def read_llama(config: HFConfig) -> Architecture:
    """Return the architecture of a Llama."""
    require_activation(config, ("silu",), "hidden_act")
    made, biased = sizes(config), config.flag("attention_bias", default=False)
    return Architecture(
        **made,
        **layers(
            config,
            layer_types(config, lambda _: FULL),
            rotary(config, made["head_dim"]),
            scale=made["head_dim"] ** -0.5,
        ),
        norm=NormSpec(eps=epsilon(config)),
        qkv_bias=biased,
        out_bias=biased,
        mlp_bias=config.flag("mlp_bias", default=False),
    )


def read_mistral(config: HFConfig) -> Architecture:
    """Return the architecture of a Mistral."""
    require_activation(config, ("silu",), "hidden_act")
    made, window = sizes(config), window_of(config, 4096)
    types = layer_types(config, lambda _: FULL if window is None else SLIDING)
    return Architecture(
        **made,
        **layers(
            config, types, rotary(config, made["head_dim"]), window=window, scale=made["head_dim"] ** -0.5
        ),
        norm=NormSpec(eps=epsilon(config)),
    )

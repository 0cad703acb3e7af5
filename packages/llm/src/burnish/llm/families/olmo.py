"""OLMo 2: normed after attention and MLP and not before, with norms over all heads of queries and keys."""

from burnish.llm.families.architecture import Architecture, NormSpec
from burnish.llm.families.hf_config import HFConfig
from burnish.llm.families.reading import FULL, epsilon, layer_types, layers, require_activation, rotary, sizes


def read_olmo2(config: HFConfig) -> Architecture:
    """Return the architecture of an OLMo 2."""
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
        norm=NormSpec(eps=epsilon(config, 1e-5), rounds_first=False),
        attention_norms=(None, "post_attention_layernorm"),
        mlp_norms=(None, "post_feedforward_layernorm"),
        qk_norm="projection",
        qkv_bias=biased,
        out_bias=biased,
    )

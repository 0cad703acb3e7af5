"""Decoders whose layers have several MLPs: Mixtral and Qwen3-MoE."""

from burnish.llm.families.architecture import Architecture, Experts, NormSpec
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
from burnish.platform.configuration.ranges import Count, NotNegative


def read_mixtral(config: HFConfig) -> Architecture:
    """Return the architecture of a Mixtral."""
    require_activation(config, ("silu",), "hidden_act")
    made, window = sizes(config), config.get("sliding_window")
    types = layer_types(config, lambda _: FULL if window is None else SLIDING)
    return Architecture(
        **made,
        **layers(
            config, types, rotary(config, made["head_dim"], 1_000_000.0), scale=made["head_dim"] ** -0.5
        ),
        norm=NormSpec(eps=epsilon(config, 1e-5)),
        experts=Experts(
            count=config.value("num_local_experts", Count, 8),
            per_token=config.value("num_experts_per_tok", Count, 2),
            intermediate_size=made["intermediate_size"],
            normalizes=True,
            prefix="block_sparse_moe",
            names=("w1", "w3", "w2"),
            balance_coefficient=_balance_coefficient(config),
        ),
    )


def read_qwen3_moe(config: HFConfig) -> Architecture:
    """Return the architecture of a Qwen3 with experts in every layer."""
    require_activation(config, ("silu",), "hidden_act")
    if config.get("mlp_only_layers") or config.value("decoder_sparse_step", Count, 1) != 1:
        config.refuse("layers without experts", "only mlp_only_layers=[] and decoder_sparse_step=1")
    made, biased = sizes(config), config.flag("attention_bias", default=False)
    slides = (
        config.flag("use_sliding_window", default=False)
        and config.values.get("sliding_window", 0) is not None
    )
    types = layer_types(config, lambda _: SLIDING if slides else FULL)
    return Architecture(
        **made,
        **layers(config, types, rotary(config, made["head_dim"]), scale=made["head_dim"] ** -0.5),
        norm=NormSpec(eps=epsilon(config)),
        qk_norm="head",
        qkv_bias=biased,
        out_bias=biased,
        experts=Experts(
            count=config.value("num_experts", Count, config.value("num_local_experts", Count, 128)),
            per_token=config.value("num_experts_per_tok", Count, 8),
            intermediate_size=config.value("moe_intermediate_size", Count),
            normalizes=config.flag("norm_topk_prob", default=False),
            prefix="mlp",
            balance_coefficient=_balance_coefficient(config),
        ),
    )


def _balance_coefficient(config: HFConfig) -> float:
    """Return the coefficient of the balance loss, which transformers adds with this option alone."""
    coefficient = config.value("router_aux_loss_coef", NotNegative, 0.001)
    return coefficient if config.flag("output_router_logits", default=False) else 0.0

"""Gemma 2 and the text model of Gemma 3: norms before and after, scaled embeddings, windows in between."""

from typing import Any

from burnish.llm.families.architecture import Architecture, NormSpec
from burnish.llm.families.frequencies import rotary_of
from burnish.llm.families.hf_config import HFConfig
from burnish.llm.families.reading import (
    FULL,
    SLIDING,
    epsilon,
    layer_types,
    layers,
    max_positions,
    require_activation,
    rotary,
    sizes,
)
from burnish.llm.families.rotary import Rotary
from burnish.platform.configuration.ranges import Count, Positive


def read_gemma2(config: HFConfig) -> Architecture:
    """Return the architecture of a Gemma 2."""
    made = sizes(config, head_dim=256, ties=True)
    types = layer_types(config, lambda index: FULL if index % 2 else SLIDING)
    return _gemma(config, made, types, rotary(config, made["head_dim"]), caps=(50.0, 30.0))


def read_gemma3(config: HFConfig) -> Architecture:
    """Return the architecture of a Gemma 3, which also norms the heads of queries and keys."""
    made = sizes(config, head_dim=256, ties=True)
    every = config.value("sliding_window_pattern", Count, 6)
    types = layer_types(config, lambda index: SLIDING if (index + 1) % every else FULL)
    return _gemma(config, made, types, _rotaries(config, made["head_dim"]), caps=(None, None), qk_norm="head")


def _gemma(
    config: HFConfig,
    made: dict[str, Any],
    types: tuple[str, ...],
    rotaries: dict[str, Rotary],
    *,
    caps: tuple[float | None, float | None],
    **more: Any,
) -> Architecture:
    """Return what both have in common; `caps` are the family's own of scores and of logits."""
    require_activation(config, ("gelu_pytorch_tanh",), "hidden_activation")
    if config.get("use_bidirectional_attention"):
        config.refuse("use_bidirectional_attention", "only causal attention")
    biased = config.flag("attention_bias", default=False)
    scale = config.value("query_pre_attn_scalar", Positive, 256.0) ** -0.5
    return Architecture(
        **made,
        **layers(config, types, rotaries, scale=scale, softcap=_cap(config, "attn", caps[0])),
        norm=NormSpec(eps=epsilon(config), offset=1.0, rounds_first=False),
        attention_norms=("input_layernorm", "post_attention_layernorm"),
        mlp_norms=("pre_feedforward_layernorm", "post_feedforward_layernorm"),
        activation="gelu_tanh",
        qkv_bias=biased,
        out_bias=biased,
        embedding_scale=made["hidden_size"] ** 0.5,
        logit_softcap=_cap(config, "final", caps[1]),
        **more,
    )


def _cap(config: HFConfig, where: str, default: float | None) -> float | None:
    """Return a cap; null takes it away, and its absence stands for the family's own."""
    name = f"{where}_logit_softcapping"
    return default if name not in config.values else config.get(name) and config.value(name, Positive)


def _rotaries(config: HFConfig, head_dim: int) -> dict[str, Rotary]:
    """Return the rotary embedding of each kind of layer, as transformers 4 or 5 writes them."""
    rope = config.part("rope_parameters")
    local, whole = rope.part(SLIDING), rope.part(FULL)
    scaling = config.part("rope_scaling")  # of the whole attention alone, on top of what the newer name says
    whole = HFConfig({**whole.values, **scaling.values}, config.family)
    older = {
        FULL: config.value("rope_theta", Positive, 1_000_000.0),
        SLIDING: config.value("rope_local_base_freq", Positive, 10_000.0),
    }
    return {
        kind: rotary_of(
            part,
            theta=part.value("rope_theta", Positive, older[kind]),
            head_dim=head_dim,
            max_positions=max_positions(config),
        )
        for kind, part in ((FULL, whole), (SLIDING, local))
    }

"""Phi-3: the plain decoder, stored with one matrix for queries, keys and values, and one for gate and up."""

from burnish.llm.families.architecture import Architecture, NormSpec
from burnish.llm.families.hf_config import HFConfig
from burnish.llm.families.reading import (
    FULL,
    SLIDING,
    epsilon,
    layers,
    require_activation,
    rotary,
    sizes,
)
from burnish.platform.configuration.ranges import Positive, SmallCount


def read_phi3(config: HFConfig) -> Architecture:
    """Return the architecture of a Phi-3; its long texts (`longrope`) are refused."""
    require_activation(config, ("silu",), "hidden_act")
    _require_plain_rotation(config)
    made, window = sizes(config), config.get("sliding_window")
    types = (FULL if window is None else SLIDING,) * config.value("num_hidden_layers", SmallCount)
    return Architecture(
        **made,
        **layers(config, types, rotary(config, made["head_dim"]), scale=made["head_dim"] ** -0.5),
        norm=NormSpec(eps=epsilon(config, 1e-5)),
        is_fused=True,
    )


def _require_plain_rotation(config: HFConfig) -> None:
    """Refuse `longrope`, which Phi-3 also calls `su` and `yarn`, and a rotation of some dims alone."""
    for rope in (config.part("rope_scaling"), config.part("rope_parameters")):
        kind = rope.get("rope_type") or rope.get("type") or "default"
        if kind != "default":
            rope.refuse(f"rope_type={kind!r}", "only 'default'")
    if config.value("partial_rotary_factor", Positive, 1.0) != 1.0:
        config.refuse("partial_rotary_factor", "only 1")

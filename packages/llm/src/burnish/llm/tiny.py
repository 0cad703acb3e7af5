"""A freshly initialized Qwen2, whose parameters are a function of the run's seed."""

from typing import Any

from burnish.llm.bundle import Bundle, ModelContext
from burnish.llm.config.family import Qwen2
from burnish.llm.config.model import QWEN2
from burnish.llm.families.layers import Compute
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.family_choice import provider_of
from burnish.llm.placement import place_params
from burnish.llm.tokenizer import Tokenizer, TokenizerContext, build_tokenizer


def tiny_bundle(context: ModelContext, compute: Compute, **sizes: Any) -> Bundle:
    """Return a model of these sizes, by their names in `config.json`, over the tokenizer's vocabulary."""
    tokenizer = build_tokenizer(context.tokenizer, TokenizerContext(artifacts=context.artifacts))
    model = Qwen2().build(FamilyContext(hf_config=tiny_hf_config(tokenizer, **sizes), compute=compute))
    return Bundle(
        model,
        tokenizer,
        f"tiny(seed={context.seed})",
        load=lambda like: place_params(model.init(context.seed), like),
        components=(provider_of(QWEN2),),
    )


def tiny_hf_config(tokenizer: Tokenizer, **sizes: Any) -> dict[str, Any]:
    """Return the `config.json` of the tiny model."""
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "vocab_size": tokenizer.vocab_size,
        "hidden_act": "silu",
        "rope_parameters": {"rope_theta": sizes["rope_theta"], "rope_type": "default"},
        "use_sliding_window": False,
        "eos_token_id": list(tokenizer.eos_token_ids),
        "pad_token_id": tokenizer.pad_token_id,
        **sizes,
    }

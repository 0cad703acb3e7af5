"""Model families, and what one is made of: the public names are for authors of others."""

from typing import TYPE_CHECKING

from burnish.platform.lazy import lazy_names

if TYPE_CHECKING:
    from burnish.llm.attention import QKV, AttentionSpec, Span
    from burnish.llm.families.architecture import Architecture
    from burnish.llm.families.layers import Compute, Kinds, Layers
    from burnish.llm.families.llama import read_llama
    from burnish.llm.families.protocol import CausalLM, MatrixDims, Output
    from burnish.llm.families.qwen import read_qwen2, read_qwen3
    from burnish.llm.families.reading import decoder_of
    from burnish.llm.families.tensor_name import TensorName
    from burnish.llm.head import Head
    from burnish.llm.kv_cache import KVCache, empty_cache
    from burnish.llm.noise import Noise

__all__ = [
    "QKV",
    "Architecture",
    "AttentionSpec",
    "CausalLM",
    "Compute",
    "Head",
    "KVCache",
    "Kinds",
    "Layers",
    "MatrixDims",
    "Noise",
    "Output",
    "Span",
    "TensorName",
    "decoder_of",
    "empty_cache",
    "read_llama",
    "read_qwen2",
    "read_qwen3",
]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "Architecture": "families.architecture",
            "AttentionSpec": "attention",
            "CausalLM": "families.protocol",
            "Compute": "families.layers",
            "Head": "head",
            "KVCache": "kv_cache",
            "Kinds": "families.layers",
            "Layers": "families.layers",
            "MatrixDims": "families.protocol",
            "Noise": "noise",
            "Output": "families.protocol",
            "QKV": "attention",
            "Span": "attention",
            "TensorName": "families.tensor_name",
            "decoder_of": "families.reading",
            "empty_cache": "kv_cache",
            "read_llama": "families.llama",
            "read_qwen2": "families.qwen",
            "read_qwen3": "families.qwen",
        },
        root="burnish.llm",
    )

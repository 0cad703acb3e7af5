"""Kernels of attention: the public names are for authors of others."""

from typing import TYPE_CHECKING

from burnish.platform.lazy import lazy_names

if TYPE_CHECKING:
    from burnish.llm.attention import span_mask
    from burnish.llm.kernels.protocol import Attention, AttentionCase, AttentionContext

__all__ = ["Attention", "AttentionCase", "AttentionContext", "span_mask"]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "Attention": "kernels.protocol",
            "AttentionCase": "kernels.protocol",
            "AttentionContext": "kernels.protocol",
            "span_mask": "attention",
        },
        root="burnish.llm",
    )

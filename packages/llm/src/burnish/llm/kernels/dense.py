"""`xla`: attention that holds all scores of a layer, and is what every other kernel is compared with."""

from dataclasses import dataclass

from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from burnish.llm.attention import QKV, SAVED, Span, attention
from burnish.llm.kernels.protocol import AttentionCase


@dataclass(frozen=True)
class DenseAttention:
    """Holds all scores; whatever the case, see `burnish.llm.kernels.protocol.Attention`."""

    def refuses(self, case: AttentionCase) -> None:
        """Return None."""

    def __call__(self, qkv: QKV, span: Span, case: AttentionCase) -> Float[Array, "b t h k"]:
        """Return softmax(scores) v."""
        return checkpoint_name(attention(qkv, span, case.spec), SAVED)

"""What sets one decoder apart from another: all numbers and features that its computation depends on."""

from dataclasses import dataclass
from typing import Literal

from burnish.llm.attention import AttentionSpec
from burnish.llm.families.rotary import Rotary

Activation = Literal["silu", "gelu_tanh"]
QKNorm = Literal["none", "head", "projection"]


@dataclass(frozen=True, kw_only=True)
class LayerKind:
    """What layers of one kind have of their own; their parameters are as those of all others."""

    spec: AttentionSpec
    rotary: Rotary


@dataclass(frozen=True, kw_only=True)
class NormSpec:
    """How the root-mean-square norms of a model are computed."""

    eps: float
    offset: float = 0.0
    """Added to the learned scale, which begins at 1 - offset."""
    rounds_first: bool = True
    """Whether what is normed is rounded to its dtype before it is scaled, or after."""


@dataclass(frozen=True, kw_only=True)
class Experts:
    """The MLPs of a layer that has several, of which each token takes a few."""

    count: int
    per_token: int
    intermediate_size: int
    normalizes: bool
    """Whether the shares of those that a token takes sum to 1."""
    prefix: str
    """Of the router and the experts in the checkpoint, below the layer."""
    names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")
    """Of each expert's matrices."""
    balance_coefficient: float = 0.0
    """Of the loss that training adds so that all experts are taken alike."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A decoder of layers with attention and a gated MLP; hashable.

    The names of norms are those in the checkpoint, of what stands before and after the attention, and before
    and after the MLP; None where there is none.
    """

    vocab_size: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    norm: NormSpec
    kinds: tuple[LayerKind, ...]
    kind_of_layers: tuple[int, ...]
    """The kind of each layer, an index of `kinds`."""
    tie_word_embeddings: bool
    initializer_range: float
    attention_norms: tuple[str | None, str | None] = ("input_layernorm", None)
    mlp_norms: tuple[str | None, str | None] = ("post_attention_layernorm", None)
    activation: Activation = "silu"
    qk_norm: QKNorm = "none"
    """What queries and keys are normed over: not at all, each head, or all heads together."""
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    is_fused: bool = False
    """Whether the checkpoint stores the matrices of a layer that have the same input as one."""
    embedding_scale: float | None = None
    """What embeddings are multiplied by, rounded to their dtype."""
    logit_softcap: float | None = None
    experts: Experts | None = None
    """None for one MLP per layer."""

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return len(self.kind_of_layers)

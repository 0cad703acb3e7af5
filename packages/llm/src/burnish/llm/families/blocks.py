"""The modules of a decoder layer; each declares its parameters with shape, axes and name."""

from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from burnish.llm.attention import QKV
from burnish.llm.families.architecture import Architecture
from burnish.llm.families.experts import SparseMLP
from burnish.llm.families.layers import Attend
from burnish.llm.families.operations import ACTIVATIONS, LAYER, keeping_inputs, linear, rms_norm
from burnish.llm.families.parameters import declare
from burnish.llm.families.projections import Projection, of_attention, of_mlp
from burnish.llm.families.rotary import Angles, rotate
from burnish.llm.families.routing import Routing
from burnish.llm.noise import Noise


class Attention(nnx.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, shape: Architecture) -> None:
        heads, kv_heads = (shape.num_heads, "heads"), (shape.num_kv_heads, "kv_heads")
        query, key, value = of_attention(shape)
        self.norm = shape.norm
        self.query, self.query_bias = _heads(shape, *heads, query)
        self.key, self.key_bias = _heads(shape, *kv_heads, key)
        self.value, self.value_bias = _heads(shape, *kv_heads, value)
        self.query_norm = _head_norm(shape, *heads, "q_norm")
        self.key_norm = _head_norm(shape, *kv_heads, "k_norm")
        self.out = declare(
            (shape.num_heads, shape.head_dim, shape.hidden_size),
            ("heads", "head_dim", "embed"),
            f"{LAYER}.self_attn.o_proj.weight",
            num_input_dims=2,
        )
        self.out_bias = _bias(shape.hidden_size, "self_attn.o_proj") if shape.out_bias else None

    def __call__(
        self, hidden: Float[Array, "b t d"], angles: Angles, attend: Attend
    ) -> Float[Array, "b t d"]:
        """Return the attention output."""
        queries = linear(hidden, self.query, self.query_bias)
        keys = linear(hidden, self.key, self.key_bias)
        values = linear(hidden, self.value, self.value_bias)
        if self.query_norm is not None and self.key_norm is not None:
            queries = rms_norm(queries, self.query_norm[...], self.norm)
            keys = rms_norm(keys, self.key_norm[...], self.norm)
        qkv = QKV(rotate(queries, *angles), rotate(keys, *angles), values)
        return linear(attend(qkv), self.out, self.out_bias)


class GatedMLP(nnx.Module):
    """down(activation(gate(x)) * up(x))."""

    def __init__(self, shape: Architecture) -> None:
        self.activation = ACTIVATIONS[shape.activation]
        width, inner = (shape.hidden_size, "embed"), (shape.intermediate_size, "mlp")
        gate, up = of_mlp(shape)
        self.gate, self.gate_bias = _matrix(shape, width, inner, gate)
        self.up, self.up_bias = _matrix(shape, width, inner, up)
        self.down, self.down_bias = _matrix(shape, inner, width, Projection("down_proj"))

    def __call__(self, hidden: Float[Array, "b t d"]) -> tuple[Float[Array, "b t d"], None]:
        """Return the MLP of each position, which no router has chosen."""
        gate = linear(hidden, self.gate, self.gate_bias)
        return keeping_inputs(self._down)(gate, linear(hidden, self.up, self.up_bias)), None

    def _down(self, gate: Float[Array, "b t f"], up: Float[Array, "b t f"]) -> Float[Array, "b t d"]:
        return linear(self.activation(gate) * up, self.down, self.down_bias)


class Block(nnx.Module):
    """One layer: attention and MLP, each added to the residual stream, normed before, after, or both."""

    def __init__(self, shape: Architecture) -> None:
        self.norm = shape.norm
        before, after = (_named_norm(shape, name) for name in shape.attention_norms)
        self.attention_norm, self.attention_post_norm = before, after
        self.attention = Attention(shape)
        before, after = (_named_norm(shape, name) for name in shape.mlp_norms)
        self.mlp_norm, self.mlp_post_norm = before, after
        self.mlp = _mlp(shape)

    def __call__(
        self, hidden: Float[Array, "b t d"], angles: Angles, attend: Attend, noise: Noise | None = None
    ) -> tuple[Float[Array, "b t d"], Routing | None]:
        """Return the next hidden states, and what the router says where there is one."""
        context = self.attention(self._normed(hidden, self.attention_norm), angles, attend)
        context = self._normed(context, self.attention_post_norm)
        hidden = hidden + (context if noise is None else noise.drop(context, 0))
        made, routing = self.mlp(self._normed(hidden, self.mlp_norm))
        made = self._normed(made, self.mlp_post_norm)
        return hidden + (made if noise is None else noise.drop(made, 1)), routing

    def _normed(self, values: Float[Array, "b t d"], scale: Any) -> Float[Array, "b t d"]:
        return values if scale is None else rms_norm(values, scale[...], self.norm)


class Ends(nnx.Module):
    """What lies outside the layers: embedding, last norm, and the head unless it is tied."""

    def __init__(self, shape: Architecture) -> None:
        table = ((shape.vocab_size, shape.hidden_size), ("vocab", "embed"))
        self.embed = declare(*table, "model.embed_tokens.weight", is_lookup=True)
        self.final_norm = norm_scale(shape, "model.norm.weight")
        if not shape.tie_word_embeddings:
            self.head = declare(*table, "lm_head.weight")


def norm_scale(shape: Architecture, template: str) -> Any:
    """Return the declared scale of a norm over the hidden states."""
    return declare((shape.hidden_size,), ("embed",), template, initial=1.0 - shape.norm.offset)


def _mlp(shape: Architecture) -> Any:
    return GatedMLP(shape) if shape.experts is None else SparseMLP(shape, shape.experts)


def _named_norm(shape: Architecture, name: str | None) -> Any:
    return None if name is None else norm_scale(shape, f"{LAYER}.{name}.weight")


def _heads(shape: Architecture, heads: int, axis: str, stored: Projection) -> tuple[Any, Any]:
    template, head_dim = f"{LAYER}.self_attn.{stored.name}", shape.head_dim
    weight = declare(
        (shape.hidden_size, heads, head_dim),
        ("embed", axis, "head_dim"),
        f"{template}.weight",
        num_input_dims=1,
        rows=stored.rows,
    )
    if not shape.qkv_bias:
        return weight, None
    bias = declare(
        (heads, head_dim),
        (axis, "head_dim"),
        f"{template}.bias",
        num_input_dims=0,
        rows=stored.rows,
        initial=0.0,
    )
    return weight, bias


def _head_norm(shape: Architecture, heads: int, axis: str, name: str) -> Any:
    template, initial = f"{LAYER}.self_attn.{name}.weight", 1.0 - shape.norm.offset
    if shape.qk_norm == "head":
        return declare((shape.head_dim,), ("head_dim",), template, initial=initial)
    if shape.qk_norm == "projection":
        return declare(
            (heads, shape.head_dim), (axis, "head_dim"), template, num_input_dims=0, initial=initial
        )
    return None


def _matrix(
    shape: Architecture, inputs: tuple[int, str], outputs: tuple[int, str], stored: Projection
) -> tuple[Any, Any]:
    sizes, axes = (inputs[0], outputs[0]), (inputs[1], outputs[1])
    template = f"{LAYER}.mlp.{stored.name}.weight"
    weight = declare(sizes, axes, template, num_input_dims=1, rows=stored.rows)
    bias = _bias(outputs[0], f"mlp.{stored.name}", outputs[1], stored.rows) if shape.mlp_bias else None
    return weight, bias


def _bias(size: int, name: str, axis: str = "embed", rows: tuple[int, int] | None = None) -> Any:
    return declare((size,), (axis,), f"{LAYER}.{name}.bias", rows=rows, initial=0.0)

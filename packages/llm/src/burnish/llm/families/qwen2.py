"""The dense Qwen2 family: modules, and the forward pass as a scan over stacked layers.

The modules declare each parameter once. Outside this file a model is `Qwen2LM`: a hashable description with
pure functions over a nested dict of arrays.
"""

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from burnish.llm.attention import QKV, AttentionSpec, Span
from burnish.llm.families import broadcast
from burnish.llm.families.layers import Attend, Compute, Kinds, Layers
from burnish.llm.families.parameters import Parameter, Path, declarations, declare, initial_value, nest
from burnish.llm.families.protocol import Output, TensorName
from burnish.llm.families.qwen2_config import Qwen2Shape, read_shape
from burnish.llm.families.rotary import Angles, rotary_angles, rotate
from burnish.llm.head import Head
from burnish.llm.kv_cache import KVCache, empty_cache
from burnish.llm.noise import Noise
from burnish.llm.precision import exact_for


def from_hf_config(hf_config: Mapping[str, Any], compute: Compute | None = None) -> "Qwen2LM":
    """Return the model that a `config.json` describes; `ConfigError` names an unsupported feature."""
    shape = read_shape(hf_config)
    return Qwen2LM(shape, compute or Compute(), json.dumps(dict(hf_config), sort_keys=True))


@dataclass(frozen=True)
class Qwen2LM:
    """A Qwen2 causal LM, see `burnish.llm.families.protocol.CausalLM`."""

    shape: Qwen2Shape
    compute: Compute = field(default_factory=Compute)
    config_json: str = field(default="{}", compare=False, repr=False)

    @property
    def vocab_size(self) -> int:
        """Rows of the head."""
        return self.shape.vocab_size

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""
        return self.shape.hidden_size

    @property
    def hf_config(self) -> dict[str, Any]:
        """The `config.json` that describes the model."""
        return json.loads(self.config_json)

    @property
    def logical_axes(self) -> dict[str, Any]:
        """A tree like the parameters with a tuple of axis names in place of each leaf."""
        return nest({path: leaf.axes for path, leaf in _parameters(self.shape).items()})

    @property
    def parameter_names(self) -> Mapping[Path, TensorName]:
        """Path of each leaf to its name in a Hugging Face checkpoint."""
        return {path: leaf.name for path, leaf in _parameters(self.shape).items()}

    def abstract(self, dtype: Any) -> dict[str, Any]:
        """Return the tree of `jax.ShapeDtypeStruct`s of the parameters."""
        leaves = _parameters(self.shape).items()
        return nest({path: jax.ShapeDtypeStruct(leaf.shape, dtype) for path, leaf in leaves})

    def init(self, seed: int) -> dict[str, Any]:
        """Return fresh fp32 parameters in numpy, a function of `seed` alone."""
        scale = self.shape.initializer_range
        leaves = _parameters(self.shape).items()
        return nest({path: initial_value(path, leaf, seed, scale) for path, leaf in leaves})

    def init_cache(self, rows: int, length: int, dtype: Any) -> KVCache:
        """Return an empty cache for `rows` sequences of up to `length` tokens."""
        shape = self.shape
        return empty_cache(shape.num_layers, (rows, shape.num_kv_heads, length, shape.head_dim), dtype)

    def forward(
        self,
        params: dict[str, Any],
        tokens: Int[Array, "b t"],
        positions: Int[Array, "b t"],
        segment_ids: Int[Array, "b t"],
        cache: KVCache | None = None,
        *,
        visible_until: Int[Array, "b t"] | None = None,
        noise: Noise | None = None,
    ) -> Output:
        """Return the final hidden states, and the cache with these tokens written to it."""
        hidden = broadcast.embed(params["embed"], tokens)
        if noise is not None:
            hidden = noise.at(self.shape.num_layers).drop(hidden, 0)
        span = Span(positions, segment_ids, visible_until)
        angles = (rotary_angles(positions, self.shape.head_dim, self.shape.rope_theta),)
        if cache is None:
            hidden = self._layers.scanned(params["layers"], hidden, span, angles, noise)
        else:
            hidden, cache = self._layers.cached(params["layers"], hidden, span, angles, cache)
        return Output(rms_norm(hidden, params["final_norm"], self.shape.rms_norm_eps), cache)

    def head(self, params: dict[str, Any]) -> Head:
        """Return what maps hidden states to logits."""
        return Head(matrix=(params["embed"] if self.shape.tie_word_embeddings else params["head"]).T)

    @property
    def _layers(self) -> Layers:
        graph = _block_graph(self.shape)
        spec = AttentionSpec(scale=self.shape.head_dim**-0.5)
        return Layers(
            layer=lambda params, *inputs: nnx.merge(graph, params)(*inputs),
            kinds=Kinds(specs=(spec,), of_layers=(0,) * self.shape.num_layers),
            compute=self.compute,
        )


class Qwen2Attention(nnx.Module):
    """Grouped-query attention with biased query, key and value projections."""

    def __init__(self, shape: Qwen2Shape) -> None:
        self.shape = shape
        width, heads, kv_heads, head_dim = (
            shape.hidden_size,
            shape.num_heads,
            shape.num_kv_heads,
            shape.head_dim,
        )
        self.query, self.query_bias = _projection(width, heads, head_dim, "heads", "q_proj")
        self.key, self.key_bias = _projection(width, kv_heads, head_dim, "kv_heads", "k_proj")
        self.value, self.value_bias = _projection(width, kv_heads, head_dim, "kv_heads", "v_proj")
        self.out = declare(
            (heads, head_dim, width),
            ("heads", "head_dim", "embed"),
            "model.layers.{layer}.self_attn.o_proj.weight",
            num_input_dims=2,
        )

    def __call__(
        self, hidden: Float[Array, "b t d"], angles: Angles, attend: Attend
    ) -> Float[Array, "b t d"]:
        """Return the attention output."""
        queries = broadcast.shift(project(hidden, self.query[...]), self.query_bias[...])
        keys = broadcast.shift(project(hidden, self.key[...]), self.key_bias[...])
        values = broadcast.shift(project(hidden, self.value[...]), self.value_bias[...])
        queries, keys = rotate(queries, *angles), rotate(keys, *angles)
        return project(attend(QKV(queries, keys, values)), self.out[...])


class Qwen2MLP(nnx.Module):
    """The gated MLP: down(silu(gate(x)) * up(x))."""

    def __init__(self, shape: Qwen2Shape) -> None:
        width, inner = shape.hidden_size, shape.intermediate_size
        self.gate = _matrix((width, inner), ("embed", "mlp"), "gate_proj")
        self.up = _matrix((width, inner), ("embed", "mlp"), "up_proj")
        self.down = _matrix((inner, width), ("mlp", "embed"), "down_proj")

    def __call__(self, hidden: Float[Array, "b t d"]) -> Float[Array, "b t d"]:
        """Return the MLP of each position."""
        gate = jax.nn.silu(project(hidden, self.gate[...]))
        return project(gate * project(hidden, self.up[...]), self.down[...])


class Qwen2Block(nnx.Module):
    """One layer: attention and MLP, each normed before and added after."""

    def __init__(self, shape: Qwen2Shape) -> None:
        self.shape = shape
        self.attention_norm = _norm(shape, "model.layers.{layer}.input_layernorm.weight")
        self.attention = Qwen2Attention(shape)
        self.mlp_norm = _norm(shape, "model.layers.{layer}.post_attention_layernorm.weight")
        self.mlp = Qwen2MLP(shape)

    def __call__(
        self, hidden: Float[Array, "b t d"], angles: Angles, attend: Attend, noise: Noise | None = None
    ) -> Float[Array, "b t d"]:
        """Return the next hidden states."""
        eps = self.shape.rms_norm_eps
        context = self.attention(rms_norm(hidden, self.attention_norm[...], eps), angles, attend)
        hidden = hidden + (context if noise is None else noise.drop(context, 0))
        gated = self.mlp(rms_norm(hidden, self.mlp_norm[...], eps))
        return hidden + (gated if noise is None else noise.drop(gated, 1))


class Qwen2Model(nnx.Module):
    """What lies outside the layers: embedding, last norm, and the head unless it is tied."""

    def __init__(self, shape: Qwen2Shape) -> None:
        table = ((shape.vocab_size, shape.hidden_size), ("vocab", "embed"))
        self.embed = declare(*table, "model.embed_tokens.weight")
        self.final_norm = _norm(shape, "model.norm.weight")
        if not shape.tie_word_embeddings:
            self.head = declare(*table, "lm_head.weight")


def rms_norm(hidden: Float[Array, "b t d"], scale: Float[Array, " d"], eps: float) -> Float[Array, "b t d"]:
    """Return x / sqrt(mean(x^2) + eps) in fp32, rounded to x's dtype and then scaled."""
    exact = hidden.astype(jnp.float32)
    normed = exact * jax.lax.rsqrt(jnp.mean(exact * exact, axis=-1, keepdims=True) + eps)
    return broadcast.scale(normed.astype(hidden.dtype), scale)


def project(values: Float[Array, "b t ..."], weight: Float[Array, "..."]) -> Float[Array, "b t ..."]:
    """Contract all dims of `values` but rows and time with the first dims of `weight`.

    It is one product of two matrices: with rows and time apart XLA:CPU takes a fifth longer over a step.
    """
    inputs = values.shape[2:]
    flat = jnp.matmul(
        values.reshape(-1, math.prod(inputs)),
        weight.reshape(math.prod(inputs), -1),
        precision=exact_for(values),
    )
    return flat.reshape(*values.shape[:2], *weight.shape[len(inputs) :])


def _projection(width: int, heads: int, head_dim: int, axis: str, name: str) -> tuple[Any, Any]:
    prefix = "model.layers.{layer}.self_attn." + name
    weight = declare(
        (width, heads, head_dim), ("embed", axis, "head_dim"), f"{prefix}.weight", num_input_dims=1
    )
    bias = declare((heads, head_dim), (axis, "head_dim"), f"{prefix}.bias", num_input_dims=0, initial=0.0)
    return weight, bias


def _matrix(shape: tuple[int, int], axes: tuple[str, str], name: str) -> Any:
    return declare(shape, axes, "model.layers.{layer}.mlp." + name + ".weight", num_input_dims=1)


def _norm(shape: Qwen2Shape, template: str) -> Any:
    return declare((shape.hidden_size,), ("embed",), template, initial=1.0)


@functools.cache
def _parameters(shape: Qwen2Shape) -> dict[Path, Parameter]:
    layers = declarations(Qwen2Block(shape))
    stacked = {("layers", *path): leaf.stacked(shape.num_layers) for path, leaf in layers.items()}
    return {**declarations(Qwen2Model(shape)), **stacked}


@functools.cache
def _block_graph(shape: Qwen2Shape) -> Any:
    return nnx.graphdef(Qwen2Block(shape))

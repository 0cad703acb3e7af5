"""A decoder of any architecture as a `CausalLM`: hashable, with pure functions over parameters."""

import functools
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from burnish.llm.attention import Span
from burnish.llm.families import broadcast
from burnish.llm.families.architecture import Architecture
from burnish.llm.families.blocks import Block, Ends
from burnish.llm.families.layers import Compute, Kinds, Layers
from burnish.llm.families.operations import rms_norm
from burnish.llm.families.parameters import Parameter, declarations, initial_value, nest
from burnish.llm.families.protocol import LAYERS, MatrixDims, Output, Path
from burnish.llm.families.rotary import rotary_angles
from burnish.llm.families.tensor_name import TensorName
from burnish.llm.head import Head
from burnish.llm.kv_cache import KVCache, empty_cache
from burnish.llm.noise import Noise


@dataclass(frozen=True)
class DecoderLM:
    """A causal LM of one architecture, see `burnish.llm.families.protocol.CausalLM`."""

    shape: Architecture
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

    @property
    def ignored_names(self) -> tuple[str, ...]:
        """Patterns of tensors that are not read: older frequencies, and a copy of the embedding as head."""
        copies = ("lm_head.weight",) if self.shape.tie_word_embeddings else ()
        return ("*rotary_emb.inv_freq", *copies)

    @property
    def matrices(self) -> Mapping[Path, MatrixDims]:
        """Path of each leaf that holds matrices to their dims, as indices of the leaf's shape."""
        leaves = _parameters(self.shape).items()
        return {path: leaf.matrix for path, leaf in leaves if leaf.matrix is not None}

    @property
    def adapted_paths(self) -> Collection[Path]:
        """Path of each leaf that may be adapted beside its product: the matrices of the layers."""
        return [path for path in self.matrices if path[0] == LAYERS]

    @property
    def balance_coefficient(self) -> float | None:
        """What the config makes of the balance loss of its experts; None without experts."""
        return None if self.shape.experts is None else self.shape.experts.balance_coefficient

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
        max_segments: int | None = None,
    ) -> Output:
        """Return the final hidden states, and the cache with these tokens written to it."""
        hidden = self._embedded(params, tokens)
        if noise is not None:
            hidden = noise.at(self.shape.num_layers).drop(hidden, 0)
        span = Span(positions, segment_ids, visible_until, max_segments)
        angles = tuple(rotary_angles(positions, kind.rotary) for kind in self.shape.kinds)
        router = None
        if cache is None:
            hidden, router = self._layers.forward(params[LAYERS], hidden, span, angles, noise)
        else:
            hidden, cache = self._layers.cached(params[LAYERS], hidden, span, angles, cache)
        return Output(rms_norm(hidden, params["final_norm"], self.shape.norm), cache, router)

    def head(self, params: dict[str, Any]) -> Head:
        """Return what maps hidden states to logits."""
        table = params["embed"] if self.shape.tie_word_embeddings else params["head"]
        return Head(matrix=table.T, softcap=self.shape.logit_softcap)

    def _embedded(self, params: dict[str, Any], tokens: Int[Array, "b t"]) -> Float[Array, "b t d"]:
        hidden, factor = broadcast.embed(params["embed"], tokens), self.shape.embedding_scale
        return hidden if factor is None else hidden * jnp.asarray(factor, hidden.dtype)

    @property
    def _layers(self) -> Layers:
        shape, graph = self.shape, _block_graph(self.shape)
        return Layers(
            layer=lambda params, hidden, angles, attend, noise=None: nnx.merge(graph, params)(
                hidden, angles, attend, noise
            ),
            kinds=Kinds(specs=tuple(kind.spec for kind in shape.kinds), of_layers=shape.kind_of_layers),
            compute=self.compute,
        )


@functools.cache
def _parameters(shape: Architecture) -> dict[Path, Parameter]:
    layers = declarations(Block(shape))
    stacked = {(LAYERS, *path): leaf.stacked(shape.num_layers) for path, leaf in layers.items()}
    return {**declarations(Ends(shape)), **stacked}


@functools.cache
def _block_graph(shape: Architecture) -> Any:
    return nnx.graphdef(Block(shape))

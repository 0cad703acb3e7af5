"""GPT-2 as burnish asks for it: hashable, with pure functions over a nested dict of parameters."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax import nnx

from burnish.llm.families import (
    AttentionSpec,
    Compute,
    Head,
    Kinds,
    KVCache,
    Layers,
    MatrixDims,
    Output,
    Span,
    TensorName,
    empty_cache,
)
from burnish_gpt2.modules import Block, GPT2Module
from burnish_gpt2.sizes import Sizes

Path = tuple[str, ...]

LEAVES: Mapping[Path, tuple[str, tuple[str, ...]]] = {
    ("wte", "embedding"): ("transformer.wte.weight", ("vocab", "embed")),
    ("wpe", "embedding"): ("transformer.wpe.weight", ("positions", "embed")),
    ("ln_f", "scale"): ("transformer.ln_f.weight", ("embed",)),
    ("ln_f", "bias"): ("transformer.ln_f.bias", ("embed",)),
    **{
        ("layers", module, leaf): (f"transformer.h.{{layer}}.{stored}.{name}", ("layers", *axes))
        for module, stored, inputs, outputs in (
            ("c_attn", "attn.c_attn", "embed", "qkv"),
            ("attn_proj", "attn.c_proj", "heads", "embed"),
            ("c_fc", "mlp.c_fc", "embed", "mlp"),
            ("mlp_proj", "mlp.c_proj", "mlp", "embed"),
        )
        for leaf, name, axes in (("kernel", "weight", (inputs, outputs)), ("bias", "bias", (outputs,)))
    },
    **{
        ("layers", norm, leaf): (f"transformer.h.{{layer}}.{norm}.{name}", ("layers", "embed"))
        for norm in ("ln_1", "ln_2")
        for leaf, name in (("scale", "weight"), ("bias", "bias"))
    },
}
"""The path of each leaf, its name in a checkpoint, where matrices are stored as they are, and its axes."""


@dataclass(frozen=True)
class GPT2LM:
    """A GPT-2, see `burnish.llm.families.protocol.CausalLM`."""

    sizes: Sizes
    compute: Compute

    @property
    def vocab_size(self) -> int:
        """Rows of the head."""
        return self.sizes.vocab_size

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""
        return self.sizes.width

    @property
    def hf_config(self) -> dict[str, Any]:
        """The `config.json` that describes the model."""
        return json.loads(self.sizes.config_json)

    @property
    def logical_axes(self) -> dict[str, Any]:
        """A tree like the parameters with a tuple of axis names in place of each leaf."""
        return nnx.traversals.unflatten_mapping({path: axes for path, (_, axes) in LEAVES.items()})

    @property
    def parameter_names(self) -> Mapping[Path, TensorName]:
        """Path of each leaf to its name in a checkpoint."""
        return {path: TensorName(name) for path, (name, _) in LEAVES.items()}

    @property
    def ignored_names(self) -> tuple[str, ...]:
        """Patterns of tensors that are not read: causal masks, which older files hold."""
        return ("transformer.h.*.attn.bias", "transformer.h.*.attn.masked_bias")

    @property
    def matrices(self) -> Mapping[Path, MatrixDims]:
        """Path of each leaf that holds matrices to the dims of inputs and outputs; layers come first."""
        tables = {("wte", "embedding"): MatrixDims((0,), (1,)), ("wpe", "embedding"): MatrixDims((0,), (1,))}
        return tables | {path: MatrixDims((1,), (2,)) for path in LEAVES if path[-1] == "kernel"}

    def abstract(self, dtype: Any) -> dict[str, Any]:
        """Return the tree of `jax.ShapeDtypeStruct`s of the parameters."""
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), _shapes(self.sizes))

    def init(self, seed: int) -> dict[str, Any]:
        """Return fresh fp32 parameters in numpy."""
        return jax.tree.map(np.asarray, _fresh(self.sizes, seed))

    def init_cache(self, rows: int, length: int, dtype: Any) -> KVCache:
        """Return an empty cache for `rows` sequences of up to `length` tokens."""
        heads = self.sizes.num_heads
        return empty_cache(self.sizes.num_layers, (rows, heads, length, self.sizes.width // heads), dtype)

    def forward(
        self,
        params: dict[str, Any],
        tokens: Any,
        positions: Any,
        segment_ids: Any,
        cache: KVCache | None = None,
        *,
        visible_until: Any = None,
        noise: Any = None,
    ) -> Output:
        """Return the final hidden states, and the cache with these tokens written to it."""
        module = nnx.merge(_graph(self.sizes), params)
        hidden, span = module.embedded(tokens, positions), Span(positions, segment_ids, visible_until)
        if noise is not None:
            hidden = noise.at(self.sizes.num_layers).drop(hidden, 0)
        if cache is None:
            hidden, _ = self._layers.forward(params["layers"], hidden, span, ((),), noise)
        else:
            hidden, cache = self._layers.cached(params["layers"], hidden, span, ((),), cache)
        return Output(module.ln_f(hidden), cache)

    def head(self, params: dict[str, Any]) -> Head:
        """Return what maps hidden states to logits."""
        return Head(matrix=params["wte"]["embedding"].T)

    @property
    def _layers(self) -> Layers:
        """Run a layer over the stacked parameters: scanned, unrolled, rematerialized or beside a cache."""
        scale = (self.sizes.width // self.sizes.num_heads) ** -0.5
        kinds = Kinds(specs=(AttentionSpec(scale=scale),), of_layers=(0,) * self.sizes.num_layers)
        graph = _block_graph(self.sizes)

        def layer(params: Any, hidden: Any, angles: Any, attend: Any, noise: Any = None) -> Any:
            del angles  # positions are in the embedding
            return nnx.merge(graph, params)(hidden, attend, noise), None  # no router

        return Layers(layer=layer, kinds=kinds, compute=self.compute)


@functools.cache
def _shapes(sizes: Sizes) -> dict[str, Any]:
    return jax.eval_shape(lambda: _fresh(sizes, 0))


def _fresh(sizes: Sizes, seed: int) -> dict[str, Any]:
    return nnx.to_pure_dict(nnx.state(GPT2Module(sizes, rngs=nnx.Rngs(seed)), nnx.Param))


@functools.cache
def _graph(sizes: Sizes) -> Any:
    return nnx.graphdef(nnx.eval_shape(lambda: GPT2Module(sizes, rngs=nnx.Rngs(0))))


@functools.cache
def _block_graph(sizes: Sizes) -> Any:
    return nnx.graphdef(nnx.eval_shape(lambda: Block(sizes, rngs=nnx.Rngs(0))))

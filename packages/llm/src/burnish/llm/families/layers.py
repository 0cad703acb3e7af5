"""Running a family's layers over hidden states: one by one, in a compiled loop, or beside a cache."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from burnish.llm.attention import QKV, SAVED, AttentionSpec, Span
from burnish.llm.families.rotary import Angles
from burnish.llm.families.routing import RouterSums, Routing, summed
from burnish.llm.kernels.choice import AttentionChoice, Auto
from burnish.llm.kv_cache import KVCache
from burnish.llm.noise import Noise
from burnish.llm.row_sharding import by_rows

Attend = Callable[[QKV], Float[Array, "b t h k"]]
"""What a layer's queries find; who may see whom, and where keys are kept, is settled."""
Remat = Literal["none", "dots", "attention", "full"]
MAX_UNROLLED = 12
"""Layers that are compiled one by one unless said otherwise: steps are faster, compiling takes longer."""


@dataclass(frozen=True, kw_only=True)
class Compute:
    """How a model is computed, whatever its family; the numbers do not depend on it but for rounding."""

    remat: Remat = "none"
    """What the backward pass computes again: nothing, all but products with parameters and what a kernel of
    attention keeps, all but the latter, or everything."""

    unroll: int | Literal["auto"] = "auto"
    """Layers per iteration of the compiled loop over layers, without a loop where that is all of them; `auto`
    is all of up to `MAX_UNROLLED` layers, else 1."""

    attention: AttentionChoice = field(default_factory=Auto)
    """What attention is computed by where there is no cache."""

    def unrolls(self, num_layers: int) -> bool:
        """Say whether a model of so many layers has no loop over them."""
        return num_layers <= (MAX_UNROLLED if self.unroll == "auto" else self.unroll)


class Layer(Protocol):
    """One layer of a family."""

    def __call__(
        self,
        params: Any,
        hidden: Float[Array, "b t d"],
        angles: Angles,
        attend: Attend,
        noise: Noise | None = None,
    ) -> tuple[Float[Array, "b t d"], Routing | None]:
        """Return the next hidden states, and what the layer's router says where it has one."""
        ...


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """The kinds of layers that a model has, which differ in what is static: their parameters are alike."""

    specs: tuple[AttentionSpec, ...]
    of_layers: tuple[int, ...]
    """The kind of each layer."""


@dataclass(frozen=True, kw_only=True)
class Layers:
    """The layers of a model over parameters that are stacked `[l ...]`; `angles` has one entry per kind."""

    layer: Layer
    kinds: Kinds
    compute: Compute = field(default_factory=Compute)

    def forward(
        self,
        stacked: Any,
        hidden: Float[Array, "b t d"],
        span: Span,
        angles: tuple[Angles, ...],
        noise: Noise | None = None,
    ) -> tuple[Float[Array, "b t d"], RouterSums | None]:
        """Return the hidden states after all layers, whose tokens attend among themselves.

        With them come the sums of the layers' routers, stacked, where layers have routers.
        """

        def body(kind: Any, hidden: Any, inputs: Any) -> tuple[Any, RouterSums | None]:
            index, params = inputs
            here = None if noise is None else noise.at(index)
            hidden, routing = self.layer(params, by_rows(hidden), *self._of_kind(kind, span, angles), here)
            return hidden, None if routing is None else summed(routing, span.segment_ids > 0)

        run = self._one_by_one if self.compute.unrolls(len(self.kinds.of_layers)) else self._scanned
        hidden, sums = run(body, hidden, stacked)
        return by_rows(hidden), sums

    def _one_by_one(self, body: Any, hidden: Any, stacked: Any) -> Any:
        """Run the layers as a loop of Python, which slices the parameters at compile time."""
        kinds = range(len(self.kinds.specs))
        # Traced once per kind. Beside each other, what is computed again must not be merged with the first.
        bodies = [
            jax.jit(_rematerialized(partial(body, kind), self.compute.remat, prevent_cse=True))
            for kind in kinds
        ]
        sums: list[Any] = []
        for index, (kind, params) in enumerate(zip(self.kinds.of_layers, _unstacked(stacked), strict=True)):
            hidden, of_layer = bodies[kind](hidden, (jnp.int32(index), params))
            sums.append(of_layer)
        return hidden, jax.tree.map(lambda *layers: jnp.stack(layers), *sums)

    def _scanned(self, body: Any, hidden: Any, stacked: Any) -> Any:
        """Run the layers as a compiled loop."""

        def step(hidden: Any, inputs: Any) -> tuple[Any, Any]:
            kind, *rest = inputs
            return body(kind, hidden, rest)

        numbers = jnp.arange(len(self.kinds.of_layers))
        kinds = None if len(self.kinds.specs) == 1 else jnp.asarray(self.kinds.of_layers, jnp.int32)
        rematerialized = _rematerialized(step, self.compute.remat, prevent_cse=False)
        unroll = 1 if self.compute.unroll == "auto" else self.compute.unroll
        return jax.lax.scan(rematerialized, hidden, (kinds, numbers, stacked), unroll=unroll)

    def cached(
        self,
        stacked: Any,
        hidden: Float[Array, "b t d"],
        span: Span,
        angles: tuple[Angles, ...],
        cache: KVCache,
    ) -> tuple[Float[Array, "b t d"], KVCache]:
        """Return the hidden states after all layers, each beside its part of the cache, and that cache.

        A loop of Python with static slices: a scan would carry the cache through every iteration.
        """

        def attend_at(index: int, spec: AttentionSpec) -> Attend:
            def attend(qkv: QKV) -> Array:
                nonlocal cache
                context, cache = cache.attend(index, qkv, span, spec)
                return context

            return attend

        layers = zip(self.kinds.of_layers, _unstacked(stacked), strict=True)
        for index, (kind, params) in enumerate(layers):
            attend = attend_at(index, self.kinds.specs[kind])
            hidden, _ = self.layer(params, hidden, angles[kind], attend)
        return hidden, cache

    def _of_kind(
        self, kind: int | Int[Array, ""] | None, span: Span, angles: tuple[Angles, ...]
    ) -> tuple[Angles, Attend]:
        """Return angles and attention of one kind; without a kind there is one, and nothing to switch."""
        specs, attention = self.kinds.specs, self.compute.attention
        if kind is None or isinstance(kind, int):
            known = kind or 0
            return angles[known], lambda qkv: attention(qkv, span, specs[known])
        branches = [lambda qkv, spec=spec: attention(qkv, span, spec) for spec in specs]
        own = jax.tree.map(lambda *each: jnp.stack(each)[kind], *angles)
        return own, lambda qkv: jax.lax.switch(kind, branches, qkv)


def _unstacked(stacked: Any) -> Iterator[Any]:
    """Return the parameters of each layer; gradients come back as one concatenation."""
    leaves, structure = jax.tree.flatten(stacked)
    columns = [jax.lax.split(leaf, [1] * leaf.shape[0]) for leaf in leaves]
    for parts in zip(*columns, strict=True):
        yield jax.tree.unflatten(structure, [jnp.squeeze(part, 0) for part in parts])


def _rematerialized(body: Any, remat: Remat, *, prevent_cse: bool) -> Any:
    if remat == "none":
        return body
    return jax.checkpoint(body, policy=_POLICIES[remat], prevent_cse=prevent_cse)


_ATTENTION = jax.checkpoint_policies.save_only_these_names(SAVED)
_PRODUCTS = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
_POLICIES: Mapping[Remat, Any] = {
    "dots": jax.checkpoint_policies.save_from_both_policies(_PRODUCTS, _ATTENTION),
    "attention": _ATTENTION,
    "full": None,
}
"""What of a layer is kept for the backward pass; the hidden states that it begins with always are."""

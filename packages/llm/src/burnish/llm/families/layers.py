"""Running a family's layers over hidden states: a scan that is differentiated, or a loop beside a cache."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from burnish.llm.attention import QKV, AttentionSpec, Span, attention
from burnish.llm.families.rotary import Angles
from burnish.llm.kv_cache import KVCache
from burnish.llm.noise import Noise

Attend = Callable[[QKV], Float[Array, "b t h k"]]
"""What a layer's queries find; who may see whom, and where keys are kept, is settled."""
Remat = Literal["none", "dots", "full"]


@dataclass(frozen=True, kw_only=True)
class Compute:
    """How a model is computed, whatever its family; the numbers do not depend on it but for rounding."""

    remat: Remat = "none"
    """What the backward pass recomputes: nothing, all but matrix products, or every layer."""

    unroll: int = 1
    """Layers per iteration of the compiled loop over layers."""


class Layer(Protocol):
    """One layer of a family."""

    def __call__(
        self,
        params: Any,
        hidden: Float[Array, "b t d"],
        angles: Angles,
        attend: Attend,
        noise: Noise | None = None,
    ) -> Float[Array, "b t d"]:
        """Return the next hidden states."""
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

    def scanned(
        self,
        stacked: Any,
        hidden: Float[Array, "b t d"],
        span: Span,
        angles: tuple[Angles, ...],
        noise: Noise | None = None,
    ) -> Float[Array, "b t d"]:
        """Return the hidden states after all layers, whose tokens attend among themselves."""

        def body(hidden: Any, inputs: Any) -> tuple[Any, None]:
            index, kind, params = inputs
            here = None if noise is None else noise.at(index)
            return self.layer(params, hidden, *self._of_kind(kind, span, angles), here), None

        numbers = None if noise is None else jnp.arange(len(self.kinds.of_layers))
        kinds = None if len(self.kinds.specs) == 1 else jnp.asarray(self.kinds.of_layers, jnp.int32)
        rematerialized = _rematerialized(body, self.compute.remat)
        inputs = (numbers, kinds, stacked)
        return jax.lax.scan(rematerialized, hidden, inputs, unroll=self.compute.unroll)[0]

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

        for index, kind in enumerate(self.kinds.of_layers):
            params = jax.tree.map(lambda leaf: leaf[index], stacked)  # noqa: B023 - called at once
            attend = attend_at(index, self.kinds.specs[kind])
            hidden = self.layer(params, hidden, angles[kind], attend)
        return hidden, cache

    def _of_kind(
        self, kind: Int[Array, ""] | None, span: Span, angles: tuple[Angles, ...]
    ) -> tuple[Angles, Attend]:
        """Return angles and attention of one kind; without a kind there is one, and nothing to switch."""
        specs = self.kinds.specs
        if kind is None:
            return angles[0], lambda qkv: attention(qkv, span, specs[0])
        branches = [lambda qkv, spec=spec: attention(qkv, span, spec) for spec in specs]
        own = jax.tree.map(lambda *each: jnp.stack(each)[kind], *angles)
        return own, lambda qkv: jax.lax.switch(kind, branches, qkv)


def _rematerialized(body: Any, remat: Remat) -> Any:
    if remat == "none":
        return body
    policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable if remat == "dots" else None
    return jax.checkpoint(body, policy=policy, prevent_cse=False)

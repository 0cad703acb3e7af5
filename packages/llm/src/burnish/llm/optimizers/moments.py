"""Moments in bfloat16: half the bytes between updates, arithmetic in fp32, rounding by chance.

Rounded to the nearest, a second moment whose decay is 0.999 stays where it is: it changes by less than what
bfloat16 can tell.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int32

from burnish.llm.rounding import in_bfloat16

MomentDtype = Literal["float32", "bfloat16"]


class NarrowState(NamedTuple):
    """The state of a transformation with its floating-point arrays in bfloat16."""

    num_updates: Int32[Array, ""]
    """Made so far; they name the keys of rounding."""
    inner: Any


def stored_as(dtype: MomentDtype, inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """Return `inner` with its floating-point state stored in a dtype, and computed in fp32."""
    if dtype == "float32":
        return inner

    def init(params: Any) -> NarrowState:
        narrow = jax.tree.map(
            lambda leaf: leaf.astype(dtype) if _is_float(leaf) else leaf, inner.init(params)
        )
        return NarrowState(jnp.zeros((), jnp.int32), narrow)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, NarrowState]:
        wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if _is_float(leaf) else leaf, state.inner)
        updates, wide = inner.update(updates, wide, params)
        leaves, structure = jax.tree.flatten(wide)
        floats = [leaf for leaf in leaves if _is_float(leaf)]
        rounded = iter(in_bfloat16(floats, state.num_updates, "moments"))
        narrow = [next(rounded) if _is_float(leaf) else leaf for leaf in leaves]
        return updates, NarrowState(state.num_updates + 1, jax.tree.unflatten(structure, narrow))

    return optax.GradientTransformation(init, update)


def _is_float(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.floating)

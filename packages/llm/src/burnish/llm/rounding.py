"""Masters and moments in bfloat16: arithmetic in fp32, and rounding by chance, right on average.

Rounded to the nearest, an update below a five-hundredth of a parameter is lost, however often it comes.
"""

from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, BFloat16, Float32, Int32, Key

Rounded = Literal["masters", "moments"]

_SEEDS: Mapping[Rounded, int] = {"masters": 0x6D617374, "moments": 0x6D6F6D65}
"""Of the keys that rounding draws from; what is drawn depends on step and parameter, not on the run."""


def in_fp32(params: Any) -> Any:
    """Return a tree in fp32."""
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)


def masters_of(params: Any, like: Any, step: Int32[Array, ""]) -> Any:
    """Return an fp32 tree in the dtypes of masters; bfloat16 is rounded by keys of the step."""
    if all(master.dtype == jnp.float32 for master in jax.tree.leaves(like)):
        return params
    rounded = in_bfloat16(params, step, "masters")
    return jax.tree.map(
        lambda leaf, coarse, master: coarse if master.dtype == jnp.bfloat16 else leaf, params, rounded, like
    )


def in_bfloat16(tree: Any, step: Int32[Array, ""], what: Rounded) -> Any:
    """Return an fp32 tree rounded by keys of the step, others for masters than for moments."""
    leaves, structure = jax.tree.flatten(tree)
    step_key = jax.random.fold_in(jax.random.key(_SEEDS[what]), step)
    keys = [jax.random.fold_in(step_key, number) for number in range(len(leaves))]
    return jax.tree.unflatten(structure, [round_by_chance(*pair) for pair in zip(keys, leaves, strict=True)])


def round_by_chance(key: Key[Array, ""], values: Float32[Array, "..."]) -> BFloat16[Array, "..."]:
    """Return one of the two nearest bfloat16 numbers, the nearer the likelier: the mean is the value.

    What bfloat16 holds exactly stays. Stochastic rounding as in https://arxiv.org/abs/2010.06192.
    """
    bits = lax.bitcast_convert_type(values, jnp.uint32)
    noise = jax.random.bits(key, values.shape, jnp.uint16).astype(jnp.uint32)
    cut = (bits + noise) & jnp.uint32(0xFFFF0000)
    return lax.bitcast_convert_type(cut, jnp.float32).astype(jnp.bfloat16)

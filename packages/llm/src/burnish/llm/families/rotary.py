"""Rotary position embedding, in the half-split layout of Hugging Face."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

Angles = tuple[Float[Array, "b t 1 k"], Float[Array, "b t 1 k"]]
"""Cosine and sine of each position's angles."""


@dataclass(frozen=True)
class Rotary:
    """Which angles a kind of layer turns queries and keys by; hashable."""

    frequencies: tuple[float, ...]
    """Angle per position of each pair of dims, exactly representable in fp32."""

    scale: float = 1.0
    """What cosine and sine are multiplied by."""


def rotary_angles(positions: Int[Array, "b t"], rotary: Rotary) -> Angles:
    """Return cosine and sine of position * frequency, fp32, each frequency twice."""
    frequencies = np.tile(np.asarray(rotary.frequencies, np.float32), 2)
    angles = positions[:, :, None, None].astype(jnp.float32) * frequencies[None, None, None]
    cosine, sine = jnp.cos(angles), jnp.sin(angles)
    return (cosine, sine) if rotary.scale == 1.0 else (cosine * rotary.scale, sine * rotary.scale)


def rotate(
    values: Float[Array, "b t h k"], cosine: Float[Array, "b t 1 k"], sine: Float[Array, "b t 1 k"]
) -> Float[Array, "b t h k"]:
    """Return the values turned by their position's angles; dim i is paired with dim i + k/2."""
    first, second = jnp.split(values.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate([-second, first], axis=-1)
    return (values.astype(jnp.float32) * cosine + turned * sine).astype(values.dtype)

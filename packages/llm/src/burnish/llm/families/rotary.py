"""Rotary position embedding, in the half-split layout of Hugging Face."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

Angles = tuple[Float[Array, "b t 1 k"], Float[Array, "b t 1 k"]]
"""Cosine and sine of each position's angles."""


def rotary_angles(positions: Int[Array, "b t"], head_dim: int, theta: float) -> Angles:
    """Return cosine and sine of position * theta^(-2i/k), fp32, each frequency twice.

    The frequencies are rounded as in transformers: exponent, power and quotient each to fp32. A single
    rounding of the exact value gives other angles, by up to 1e-3 at position 30,000.
    """
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    frequencies = np.float32(1.0) / (theta ** exponents.astype(np.float64)).astype(np.float32)
    angles = positions[:, :, None, None].astype(jnp.float32) * np.tile(frequencies, 2)[None, None, None]
    return jnp.cos(angles), jnp.sin(angles)


def rotate(
    values: Float[Array, "b t h k"], cosine: Float[Array, "b t 1 k"], sine: Float[Array, "b t 1 k"]
) -> Float[Array, "b t h k"]:
    """Return the values turned by their position's angles; dim i is paired with dim i + k/2."""
    first, second = jnp.split(values.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate([-second, first], axis=-1)
    return (values.astype(jnp.float32) * cosine + turned * sine).astype(values.dtype)

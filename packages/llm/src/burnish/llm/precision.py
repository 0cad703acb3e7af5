"""How exact a matrix product is: fp32 operands exactly, which accelerators round to fewer bits by default."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def exact_for(values: Float[Array, "..."]) -> jax.lax.Precision | None:
    """Return the precision of a product with `values`: the highest in fp32, the default of other dtypes."""
    return jax.lax.Precision.HIGHEST if values.dtype == jnp.float32 else None

"""An average of what is trained over the updates of a stage, of which later ones weigh more."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int32


def moved_average(average: Any, params: Any, num_updates: Int32[Array, ""], decay: float) -> Any:
    """Return the average after the parameters of update `num_updates`, the first of which is 1.

    It is the sum of (1 - decay) decay^(n - i) params_i over (1 - decay^n): corrected for its beginning as
    the moments of Adam are (https://arxiv.org/abs/1412.6980, section 3), so that the first one is params_1.
    """
    share = (1 - decay) / -jnp.expm1(num_updates.astype(jnp.float32) * math.log(decay))
    return jax.tree.map(lambda old, new: old + share * (new.astype(jnp.float32) - old), average, params)

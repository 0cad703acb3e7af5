"""Random keys on the device, folded from the words of `burnish.platform.device.randomness`."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, UInt32


def fold_words(words: UInt32[Array, "r 5"]) -> Key[Array, " r"]:
    """Return one key per row: `fold_in` chained over the row's words, starting from `key(0)`.

    A row's key does not depend on the other rows, so a request keeps its tokens whatever its mates are.
    """
    rows = words.shape[0]
    keys = jnp.broadcast_to(jax.random.key(0), (rows,))

    def fold(keys: Key[Array, " r"], column: UInt32[Array, " r"]) -> tuple[Key[Array, " r"], None]:
        return jax.vmap(jax.random.fold_in)(keys, column), None

    folded, _ = jax.lax.scan(fold, keys, words.T)
    return folded

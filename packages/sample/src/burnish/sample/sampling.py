"""Drawing the next token: one pure function from logits to tokens and their logprobs."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int32, Key


def sample(
    keys: Key[Array, " b"], logits: Float[Array, "b v"], temperature: Float[Array, " b"]
) -> tuple[Int32[Array, " b"], Float32[Array, " b"]]:
    """Return one token per row and its logprob under the distribution it was drawn from.

    A row with temperature T > 0 draws from softmax(logits / T) by adding Gumbel noise of its own key; a row
    with temperature 0 takes the likeliest token (the first of equals) and reports softmax(logits). No row
    looks at another, and no noise is made when no row wants any.
    """
    is_sampled = temperature > 0
    scaled = logits.astype(jnp.float32) / jnp.where(is_sampled, temperature, 1.0)[:, None]
    noisy = jax.lax.cond(jnp.any(is_sampled), _add_noise, lambda *rows: rows[1], keys, scaled, is_sampled)
    tokens = jnp.argmax(noisy, axis=-1).astype(jnp.int32)
    chosen = jnp.take_along_axis(scaled, tokens[:, None], axis=-1)[:, 0]
    return tokens, chosen - jax.nn.logsumexp(scaled, axis=-1)


def _add_noise(
    keys: Key[Array, " b"], scaled: Float32[Array, "b v"], is_sampled: Array
) -> Float32[Array, "b v"]:
    noise = jax.vmap(lambda key: jax.random.gumbel(key, (scaled.shape[1],)))(keys)
    return jnp.where(is_sampled[:, None], scaled + noise, scaled)

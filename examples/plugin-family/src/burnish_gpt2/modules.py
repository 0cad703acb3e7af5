"""The modules of GPT-2, in flax: a layer, and what lies outside the layers."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from burnish.llm.families import QKV, Noise
from burnish.llm.families.broadcast import embed, shift
from burnish_gpt2.sizes import Sizes


class Block(nnx.Module):
    """One layer: attention and MLP, each normed before and added to the residual stream."""

    def __init__(self, sizes: Sizes, *, rngs: nnx.Rngs) -> None:
        linear = partial(_linear, sizes, rngs)
        self.num_heads = sizes.num_heads
        self.ln_1, self.ln_2 = _norm(sizes, rngs), _norm(sizes, rngs)
        self.c_attn = linear(sizes.width, 3 * sizes.width)
        self.attn_proj = linear(sizes.width, sizes.width)
        self.c_fc = linear(sizes.width, sizes.inner)
        self.mlp_proj = linear(sizes.inner, sizes.width)

    def __call__(
        self, hidden: Float[Array, "b t d"], attend: Callable[[QKV], Array], noise: Noise | None
    ) -> Float[Array, "b t d"]:
        """Return the next hidden states; `attend` knows who may see whom, and where keys are kept."""
        heads = (*hidden.shape[:2], self.num_heads, -1)
        queries, keys, values = jnp.split(self.c_attn(self.ln_1(hidden)), 3, axis=-1)
        context = attend(QKV(queries.reshape(heads), keys.reshape(heads), values.reshape(heads)))
        attended = self.attn_proj(context.reshape(hidden.shape))
        hidden = hidden + (attended if noise is None else noise.drop(attended, 0))
        made = self.mlp_proj(jax.nn.gelu(self.c_fc(self.ln_2(hidden)), approximate=True))
        return hidden + (made if noise is None else noise.drop(made, 1))


class GPT2Module(nnx.Module):
    """All parameters: two embeddings, the layers stacked, and the last norm; the head is the embedding."""

    def __init__(self, sizes: Sizes, *, rngs: nnx.Rngs) -> None:
        drawn = nnx.initializers.normal(sizes.initializer_range)
        self.wte = nnx.Embed(sizes.vocab_size, sizes.width, embedding_init=drawn, rngs=rngs)
        self.wpe = nnx.Embed(sizes.num_positions, sizes.width, embedding_init=drawn, rngs=rngs)
        self.layers = _stacked(sizes, rngs.split(sizes.num_layers))
        self.ln_f = _norm(sizes, rngs)

    def embedded(self, tokens: Int[Array, "b t"], positions: Int[Array, "b t"]) -> Float[Array, "b t d"]:
        """Return what enters the first layer."""
        # `nnx.Embed` would return the dtype that it was made with, and sum its gradient in bfloat16.
        return embed(self.wte.embedding[...], tokens) + embed(self.wpe.embedding[...], positions)


class Linear(nnx.Linear):
    """A product and a bias, whose gradient is summed over tokens in fp32."""

    def __call__(self, inputs: Float[Array, "b t d"]) -> Float[Array, "b t f"]:
        """Return inputs @ kernel + bias."""
        made = jnp.matmul(inputs, self.kernel[...], precision=self.precision)
        return shift(made, self.bias[...])


@nnx.vmap(in_axes=(None, 0))
def _stacked(sizes: Sizes, rngs: nnx.Rngs) -> Block:
    return Block(sizes, rngs=rngs)


def _linear(sizes: Sizes, rngs: nnx.Rngs, inputs: int, outputs: int) -> Linear:
    drawn = nnx.initializers.normal(sizes.initializer_range)
    return Linear(inputs, outputs, kernel_init=drawn, precision=jax.lax.Precision.HIGHEST, rngs=rngs)


def _norm(sizes: Sizes, rngs: nnx.Rngs) -> Any:
    return nnx.LayerNorm(sizes.width, epsilon=sizes.eps, use_fast_variance=False, rngs=rngs)

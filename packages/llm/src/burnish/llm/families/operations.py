"""What the modules of a decoder are made of: products, norms and activations, with rows and time in front."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from burnish.llm.families import broadcast
from burnish.llm.families.adapted import Adapted, product
from burnish.llm.families.architecture import Activation, NormSpec
from burnish.llm.precision import exact_for

LAYER = "model.layers.{layer}"
"""What the names of a layer's tensors begin with."""

ACTIVATIONS: Mapping[Activation, Callable[[Array], Array]] = {
    "silu": jax.nn.silu,
    "gelu_tanh": partial(jax.nn.gelu, approximate=True),
}


def rms_norm(
    values: Float[Array, "b t ..."], scale: Float[Array, "..."], spec: NormSpec
) -> Float[Array, "b t ..."]:
    """Return x / sqrt(mean(x^2) + eps) in fp32 and scaled, over the last dims, as many as `scale` has.

    The backward pass keeps x and computes the rest again.
    """
    return keeping_inputs(partial(_normed, spec=spec))(values, scale)


def _normed(values: Array, scale: Array, spec: NormSpec) -> Array:
    exact = values.astype(jnp.float32)
    dims = tuple(range(-scale.ndim, 0))
    normed = exact * jax.lax.rsqrt(jnp.mean(exact * exact, axis=dims, keepdims=True) + spec.eps)
    if spec.offset:
        scale = scale.astype(jnp.float32) + spec.offset
    if spec.rounds_first:
        normed = normed.astype(values.dtype)
    return broadcast.scale(normed, scale).astype(values.dtype)


def keeping_inputs(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, of which the backward pass keeps what it is given and nothing on the way.

    For what is cheap to compute again. A product at its end is not: no gradient asks for what it gives.
    """
    return jax.checkpoint(function)


def linear(values: Float[Array, "b t ..."], weight: Any, bias: Any = None) -> Float[Array, "b t ..."]:
    """Return values @ weight, and the bias added where there is one."""
    made = project(values, weight[...])
    return made if bias is None else broadcast.shift(made, bias[...])


def project(
    values: Float[Array, "b t ..."], weight: Float[Array, "..."] | Adapted
) -> Float[Array, "b t ..."]:
    """Contract all dims of `values` but rows and time with the first dims of `weight`.

    It is one product of two matrices: with rows and time apart XLA:CPU takes a fifth longer over a step.
    """
    if isinstance(weight, Adapted):
        return product(values, weight, project)
    inputs = values.shape[2:]
    flat = jnp.matmul(
        values.reshape(-1, math.prod(inputs)),
        weight.reshape(math.prod(inputs), -1),
        precision=exact_for(values),
    )
    return flat.reshape(*values.shape[:2], *weight.shape[len(inputs) :])

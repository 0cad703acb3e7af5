"""Log-probabilities and entropy of tokens from hidden states, without ever holding all logits.

The head is applied to a chunk of positions at a time, forward and again backward; the logits of a chunk are
recomputed rather than kept. Everything after the matrix product is fp32.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32, Int


def linear_logprobs(
    hidden: Float[Array, "*b t d"],
    head: Float[Array, "d v"],
    targets: Int[Array, "*b t"],
    temperature: float | Float[Array, ""] = 1.0,
    chunk: int = 1024,
) -> tuple[Float32[Array, "*b t"], Float32[Array, "*b t"]]:
    """Return log p(target) and the entropy of p = softmax(hidden @ head / temperature), in nats.

    At most about `chunk` rows of logits exist at a time. The time axis is cut, never the ones before it, so
    rows that are sharded over devices stay where they are. Gradients of both outputs are exact; an output
    that nothing reads costs nothing. The temperature is a constant to differentiation.
    """
    leading, (num_positions, width) = targets.shape[:-1], hidden.shape[-2:]
    num_rows = int(np.prod(leading, dtype=np.int64))
    num_chunks = -(-num_positions * num_rows // max(chunk, num_rows)) or 1
    size = -(-num_positions // num_chunks)
    padding = num_chunks * size - num_positions
    hidden_cut = _cut(hidden.reshape(num_rows, num_positions, width), padding, size)
    targets_cut = _cut(targets.reshape(num_rows, num_positions), padding, size)
    inverse_temperature = 1.0 / jnp.asarray(temperature, jnp.float32)
    outputs = _chunked(hidden_cut, head, targets_cut, inverse_temperature)
    logprobs, entropy = (_join(output, num_positions).reshape(targets.shape) for output in outputs)
    return logprobs, entropy


def _cut(array: Array, padding: int, size: int) -> Array:
    """Turn [rows, t, ...] into [chunks, rows, size, ...]."""
    rest = array.shape[2:]
    padded = jnp.pad(array, ((0, 0), (0, padding)) + ((0, 0),) * len(rest)) if padding else array
    return jnp.moveaxis(padded.reshape(array.shape[0], -1, size, *rest), 1, 0)


def _join(array: Array, num_positions: int) -> Array:
    """Turn [chunks, rows, size] into [rows, t]."""
    whole = jnp.moveaxis(array, 0, 1).reshape(array.shape[1], -1)
    return whole[:, :num_positions]


def _logits(hidden: Array, head: Array, inverse_temperature: Array) -> Float32[Array, "b t v"]:
    return _product("btd,dv->btv", hidden, head) * inverse_temperature


def _product(equation: str, left: Array, right: Array) -> Float32[Array, ...]:
    """Multiply and sum in fp32; fp32 operands exactly, which accelerators round to fewer bits by default."""
    precision = lax.Precision.HIGHEST if left.dtype == jnp.float32 else None
    return jnp.einsum(equation, left, right, precision=precision, preferred_element_type=jnp.float32)


@jax.custom_vjp
def _chunked(
    hidden: Float[Array, "c b t d"],
    head: Float[Array, "d v"],
    targets: Int[Array, "c b t"],
    inverse_temperature: Float32[Array, ""],
) -> tuple[Float32[Array, "c b t"], Float32[Array, "c b t"]]:
    def outputs_of_chunk(_: None, chunk: tuple[Array, Array]) -> tuple[None, tuple[Array, Array]]:
        logits = _logits(chunk[0], head, inverse_temperature)
        logprobs = jax.nn.log_softmax(logits, axis=-1)
        at_target = jnp.take_along_axis(logprobs, chunk[1][..., None], axis=-1)[..., 0]
        return None, (at_target, -jnp.sum(jnp.exp(logprobs) * logprobs, axis=-1))

    return lax.scan(outputs_of_chunk, None, (hidden, targets))[1]


def _chunked_forward(hidden: Any, head: Any, targets: Any, inverse_temperature: Any) -> tuple[Any, Any]:
    """Keep the inputs alone; `symbolic_zeros` wraps each one with whether it is differentiated."""
    inputs = tuple(argument.value for argument in (hidden, head, targets, inverse_temperature))
    return _chunked(*inputs), inputs


def _chunked_backward(inputs: tuple[Array, ...], cotangents: tuple[Any, Any]) -> tuple[Any, ...]:
    r"""Recompute the logits z of each chunk and pull both cotangents back through them.

    d log p(y) / dz = onehot(y) - p and dH / dz = -p (log p + H).
    """
    hidden, head, targets, inverse_temperature = inputs
    wants_entropy = not isinstance(cotangents[1], jax.custom_derivatives.SymbolicZero)
    logprobs_cotangent, entropy_cotangent = (_instantiate(cotangent) for cotangent in cotangents)

    def gradients_of_chunk(head_gradient: Array, chunk: tuple[Array, ...]) -> tuple[Array, Array]:
        hidden_btd, targets_bt, for_logprobs_bt, for_entropy_bt = chunk
        logits = _logits(hidden_btd, head, inverse_temperature)
        logprobs = jax.nn.log_softmax(logits, axis=-1)
        probabilities = jnp.exp(logprobs)
        onehot = jax.nn.one_hot(targets_bt, logits.shape[-1], dtype=jnp.float32)
        gradient = for_logprobs_bt[..., None] * (onehot - probabilities)
        if wants_entropy:
            negative_entropy = jnp.sum(probabilities * logprobs, axis=-1, keepdims=True)
            gradient -= for_entropy_bt[..., None] * probabilities * (logprobs - negative_entropy)
        gradient = (gradient * inverse_temperature).astype(hidden_btd.dtype)
        hidden_gradient = _product("btv,dv->btd", gradient, head).astype(hidden_btd.dtype)
        head_gradient += _product("btd,btv->dv", hidden_btd, gradient)
        return head_gradient, hidden_gradient

    chunks = (hidden, targets, logprobs_cotangent, entropy_cotangent)
    zeros = jnp.zeros(head.shape, jnp.float32)
    head_gradient, hidden_gradient = lax.scan(gradients_of_chunk, zeros, chunks)
    no_gradient = np.zeros(targets.shape, jax.dtypes.float0)
    return hidden_gradient, head_gradient.astype(head.dtype), no_gradient, jnp.zeros_like(inverse_temperature)


def _instantiate(cotangent: Array | jax.custom_derivatives.SymbolicZero) -> Array:
    if isinstance(cotangent, jax.custom_derivatives.SymbolicZero):
        return jnp.zeros(cotangent.shape, jnp.float32)
    return cotangent


_chunked.defvjp(_chunked_forward, _chunked_backward, symbolic_zeros=True)

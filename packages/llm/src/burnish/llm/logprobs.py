"""What a head says of tokens, from hidden states, without ever holding all logits.

The head is applied to a chunk of positions at a time, forward and again backward; the logits of a chunk are
recomputed rather than kept, but where one chunk holds all positions: then they are kept, and the peak is that
of recomputing them, since the backward pass begins with them. Everything after the matrix product is fp32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32, Int

from burnish.llm.head import Head
from burnish.llm.precision import exact_for
from burnish.llm.row_sharding import by_rows


class Predictions(NamedTuple):
    """What p = softmax(logits / temperature) says at each position; an unread field costs nothing."""

    logprob: Float32[Array, "*b t"]
    """log p(target)."""

    entropy: Float32[Array, "*b t"]
    """-sum(p log p), in nats."""

    log_normalizer: Float32[Array, "*b t"]
    """log sum(exp(logits / temperature))."""

    is_argmax: Float32[Array, "*b t"]
    """1 where the target is the likeliest token, the first of equals; it has no gradient."""


def linear_logprobs(
    hidden: Float[Array, "*b t d"],
    head: Head | Float[Array, "d v"],
    targets: Int[Array, "*b t"],
    temperature: float | Float[Array, ...] = 1.0,
    chunk: int = 1024,
) -> Predictions:
    """Return what p = softmax(logits / temperature) says of the targets, with the logits of `head`.

    At most about `chunk` rows of logits exist at a time, never fewer than rows of `targets`. The time axis is
    cut, not the ones before it, so rows that are sharded over devices stay where they are. Gradients are
    exact; an output that nothing reads costs nothing. The temperature is one number or one per target, and a
    constant to differentiation.
    """
    head = head if isinstance(head, Head) else Head(matrix=head)
    if targets.size == 0:
        return Predictions(*[jnp.zeros(targets.shape, jnp.float32)] * 4)
    leading, num_positions = targets.shape[:-1], targets.shape[-1]
    num_rows = int(np.prod(leading, dtype=np.int64))
    num_chunks = -(-num_positions * num_rows // max(chunk, num_rows)) or 1
    size = -(-num_positions // num_chunks)
    padding = num_chunks * size - num_positions

    def cut(array: Array) -> Array:
        rows = array.reshape(num_rows, num_positions, *array.shape[targets.ndim :])
        return by_rows(_cut(rows, padding, size), dim=1)

    inverse_temperature = 1.0 / jnp.asarray(temperature, jnp.float32)
    if inverse_temperature.ndim:
        inverse_temperature = cut(jnp.broadcast_to(inverse_temperature, targets.shape))
    outputs = _chunked(cut(hidden), head, cut(targets), inverse_temperature)
    return Predictions(*(_join(output, num_positions).reshape(targets.shape) for output in outputs))


def chunk_of(option: int | Literal["auto"], vocab_size: int) -> int:
    """Return positions per chunk: as said, or as many as fill 256 MiB with their logits, at least 1024."""
    return max(1024, 2**26 // vocab_size) if option == "auto" else option


def _cut(array: Array, padding: int, size: int) -> Array:
    """Turn [rows, t, ...] into [chunks, rows, size, ...]."""
    rest = array.shape[2:]
    padded = jnp.pad(array, ((0, 0), (0, padding)) + ((0, 0),) * len(rest)) if padding else array
    return jnp.moveaxis(padded.reshape(array.shape[0], -1, size, *rest), 1, 0)


def _join(array: Array, num_positions: int) -> Array:
    """Turn [chunks, rows, size] into [rows, t]."""
    whole = jnp.moveaxis(array, 0, 1).reshape(array.shape[1], -1)
    return whole[:, :num_positions]


def _product(equation: str, left: Array, right: Array) -> Float32[Array, ...]:
    """Multiply and sum in fp32; fp32 operands exactly, which accelerators round to fewer bits by default."""
    return jnp.einsum(equation, left, right, precision=exact_for(left), preferred_element_type=jnp.float32)


class _Reduced(NamedTuple):
    """What the softmax of each position was reduced to: its largest logit, and log sum(exp(z - largest))."""

    largest: Float32[Array, "c b t"]
    log_sum: Float32[Array, "c b t"]


def _over_chunks(body: Callable[..., tuple[Any, Any]], carry: Any, per_chunk: Any) -> tuple[Any, Any]:
    """Do what `lax.scan` does, without a loop over a single chunk."""
    if jax.tree.leaves(per_chunk)[0].shape[0] > 1:
        return lax.scan(body, carry, per_chunk)
    carry, outputs = body(carry, jax.tree.map(lambda leaf: leaf[0], per_chunk))
    return carry, jax.tree.map(lambda leaf: leaf[None], outputs)


def _factor(inverse_temperature: Float32[Array, ...]) -> Float32[Array, ...]:
    """Return what logits are multiplied by: a scalar stays one, one per position [b t] is broadcast."""
    return inverse_temperature[..., None] if inverse_temperature.ndim else inverse_temperature


def _each_chunk(inverse_temperature: Array, num_chunks: int) -> Array:
    """Return one temperature per chunk where there is one for all."""
    return inverse_temperature if inverse_temperature.ndim else jnp.full(num_chunks, inverse_temperature)


@jax.custom_vjp
def _chunked(
    hidden: Float[Array, "c b t d"],
    head: Head,
    targets: Int[Array, "c b t"],
    inverse_temperature: Float32[Array, ...],
) -> tuple[Float32[Array, "c b t"], ...]:
    return tuple(_predicted(hidden, head, targets, inverse_temperature)[0])


def _predicted(
    hidden: Array, head: Head, targets: Array, inverse_temperature: Array
) -> tuple[Predictions, tuple[_Reduced, Array | None]]:
    """Return the predictions, what the softmaxes were reduced to, and the logits of a single chunk."""
    keeps = hidden.shape[0] == 1

    def of_chunk(_: None, chunk: tuple[Array, ...]) -> tuple[None, Any]:
        hidden_btd, targets_bt, temperature = chunk
        capped = head.logits(hidden_btd)
        logits = capped * _factor(temperature)
        largest = jnp.max(logits, axis=-1)
        shifted = logits - largest[..., None]
        log_sum = jnp.log(jnp.sum(jnp.exp(shifted), axis=-1))
        logprobs = shifted - log_sum[..., None]
        predictions = Predictions(
            logprob=jnp.take_along_axis(logprobs, targets_bt[..., None], axis=-1)[..., 0],
            entropy=-jnp.sum(jnp.exp(logprobs) * logprobs, axis=-1),
            log_normalizer=largest + log_sum,
            is_argmax=(jnp.argmax(logits, axis=-1) == targets_bt).astype(jnp.float32),
        )
        return None, (predictions, (_Reduced(largest, log_sum), capped if keeps else None))

    temperatures = _each_chunk(inverse_temperature, hidden.shape[0])
    return _over_chunks(of_chunk, None, (hidden, targets, temperatures))[1]


def _chunked_forward(hidden: Any, head: Any, targets: Any, inverse_temperature: Any) -> tuple[Any, Any]:
    """Keep the inputs; `symbolic_zeros` wraps each one with whether it is differentiated."""
    inputs = jax.tree.map(lambda argument: argument.value, (hidden, head, targets, inverse_temperature))
    predictions, kept = _predicted(*inputs)
    return tuple(predictions), (inputs, kept)


def _chunked_backward(residuals: tuple[Any, Any], cotangents: tuple[Any, ...]) -> tuple[Any, ...]:
    r"""Pull the cotangents back through the logits z of each chunk, recomputed unless they were kept.

    d log p(y) / dz = onehot(y) - p, dH / dz = -p (log p + H), and of the log normalizer p.
    """
    (hidden, head, targets, inverse_temperature), kept = residuals
    wants_entropy, wants_normalizer = (
        not isinstance(cotangent, jax.custom_derivatives.SymbolicZero) for cotangent in cotangents[1:3]
    )

    def of_chunk(head_gradient: Head, chunk: tuple[Any, ...]) -> tuple[Head, Array]:
        hidden_btd, targets_bt, temperature, of_outputs, (reduced, kept_logits) = chunk
        for_logprob_bt, for_entropy_bt, for_normalizer_bt = of_outputs
        capped, factor = head.logits(hidden_btd) if kept_logits is None else kept_logits, _factor(temperature)
        logprobs = capped * factor - reduced.largest[..., None] - reduced.log_sum[..., None]
        probabilities = jnp.exp(logprobs)
        onehot = jax.nn.one_hot(targets_bt, capped.shape[-1], dtype=jnp.float32)
        gradient = for_logprob_bt[..., None] * (onehot - probabilities)
        if wants_entropy:
            negative_entropy = jnp.sum(probabilities * logprobs, axis=-1, keepdims=True)
            gradient -= for_entropy_bt[..., None] * probabilities * (logprobs - negative_entropy)
        if wants_normalizer:
            gradient += for_normalizer_bt[..., None] * probabilities
        of_head, of_hidden = _through_head(gradient * factor, capped, hidden_btd, head)
        return jax.tree.map(jnp.add, head_gradient, of_head), of_hidden

    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), head)
    of_outputs = tuple(_instantiate(cotangent) for cotangent in cotangents[:3])
    temperatures = _each_chunk(inverse_temperature, hidden.shape[0])
    per_chunk = (hidden, targets, temperatures, of_outputs, kept)
    head_gradient, hidden_gradient = _over_chunks(of_chunk, zeros, per_chunk)
    head_gradient = jax.tree.map(lambda gradient, leaf: gradient.astype(leaf.dtype), head_gradient, head)
    no_gradient = np.zeros(targets.shape, jax.dtypes.float0)
    return hidden_gradient, head_gradient, no_gradient, jnp.zeros_like(inverse_temperature)


def _through_head(
    gradient: Float32[Array, "b t v"], logits: Float32[Array, "b t v"], hidden: Array, head: Head
) -> tuple[Head, Array]:
    """Return the gradients of the head, in fp32, and of hidden states, given that of their logits."""
    if head.softcap is not None:
        gradient = gradient * (1 - (logits / head.softcap) ** 2)
    rounded = gradient.astype(hidden.dtype)
    of_matrix = _product("btd,btv->dv", hidden, rounded)
    of_bias = None if head.bias is None else jnp.sum(gradient, axis=(0, 1))
    of_hidden = _product("btv,dv->btd", rounded, head.matrix).astype(hidden.dtype)
    return Head(matrix=of_matrix, bias=of_bias, softcap=head.softcap), of_hidden


def _instantiate(cotangent: Array | jax.custom_derivatives.SymbolicZero) -> Array:
    if isinstance(cotangent, jax.custom_derivatives.SymbolicZero):
        return jnp.zeros(cotangent.shape, jnp.float32)
    return cotangent


_chunked.defvjp(_chunked_forward, _chunked_backward, symbolic_zeros=True)

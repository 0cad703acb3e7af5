import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.head import Head
from burnish.llm.logprobs import Predictions, chunk_of, linear_logprobs

ROWS, LENGTH, WIDTH, VOCAB = 3, 7, 16, 50


def dense(hidden, head, targets, temperature):
    """All logits at once, differentiated by jax."""
    temperature = jnp.broadcast_to(jnp.asarray(temperature), targets.shape)[..., None]
    logits = jnp.einsum("btd,dv->btv", hidden, head) / temperature
    logprobs = jax.nn.log_softmax(logits)
    at_target = jnp.take_along_axis(logprobs, targets[..., None], axis=-1)[..., 0]
    entropy = -jnp.sum(jnp.exp(logprobs) * logprobs, axis=-1)
    is_argmax = (jnp.argmax(logits, axis=-1) == targets).astype(jnp.float32)
    return Predictions(at_target, entropy, jax.nn.logsumexp(logits, axis=-1), is_argmax)


def dense_of_a_whole_head(hidden, head, targets, temperature):
    logits = jnp.einsum("btd,dv->btv", hidden, head.matrix) + head.bias[None, None]
    return dense(head.softcap * jnp.tanh(logits / head.softcap), jnp.eye(VOCAB), targets, temperature)


def dense_of_an_uncapped_head(hidden, head, targets, temperature):
    return dense_of_a_whole_head(hidden, replace(head, softcap=1e6), targets, temperature)


def dense_of_a_head_without_bias(hidden, head, targets, temperature):
    return dense_of_a_whole_head(hidden, replace(head, bias=0 * head.bias), targets, temperature)


def dense_without_temperature(hidden, head, targets, temperature):
    del temperature
    return dense(hidden, head, targets, 1.0)


def dense_with_detached_entropy(hidden, head, targets, temperature):
    found = dense(hidden, head, targets, temperature)
    return found._replace(entropy=jax.lax.stop_gradient(found.entropy))


def dense_with_detached_normalizer(hidden, head, targets, temperature):
    found = dense(hidden, head, targets, temperature)
    return found._replace(log_normalizer=jax.lax.stop_gradient(found.log_normalizer))


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    normal = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    targets = jnp.asarray(rng.integers(0, VOCAB, (ROWS, LENGTH)), jnp.int32)
    cotangents = normal(ROWS, LENGTH), normal(ROWS, LENGTH), normal(ROWS, LENGTH)
    return normal(ROWS, LENGTH, WIDTH), normal(WIDTH, VOCAB), targets, cotangents


def relative_errors(function, reference, inputs, factors, temperature=0.7):
    """Compare values and both gradients of sum(a log p + b H + c log Z) by norm."""
    hidden, head, targets, cotangents = inputs

    def everything(of):
        def total(hidden, head):
            found = of(hidden, head, targets, temperature)
            parts = zip(factors, found, cotangents, strict=False)
            return sum(factor * jnp.sum(output * weight) for factor, output, weight in parts), found

        gradients, values = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(hidden, head)
        return [*values, *jax.tree.leaves(gradients)]

    pairs = zip(everything(function), everything(reference), strict=True)
    return [float(jnp.linalg.norm(ours - theirs) / jnp.linalg.norm(theirs)) for ours, theirs in pairs]


@pytest.mark.parametrize("chunk", [1, 3, 6, 12, 1024])
@pytest.mark.parametrize("factors", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.3, 0.2)])
def test_linear_logprobs_when_chunked_then_values_and_gradients_equal_dense(inputs, chunk, factors):
    chunked = lambda *arguments: linear_logprobs(*arguments, chunk=chunk)  # noqa: E731
    assert max(relative_errors(chunked, dense, inputs, factors)) < 3e-6


@pytest.mark.parametrize("chunk", [1, 6, 1024])
def test_linear_logprobs_when_each_target_has_a_temperature_then_equals_dense(inputs, chunk):
    temperature = jnp.asarray(np.random.default_rng(1).uniform(0.5, 2.0, (ROWS, LENGTH)), jnp.float32)
    chunked = lambda *arguments: linear_logprobs(*arguments, chunk=chunk)  # noqa: E731
    assert max(relative_errors(chunked, dense, inputs, (1.0, 0.3, 0.2), temperature)) < 3e-6
    shifted = lambda hidden, head, targets, _: dense(hidden, head, targets, jnp.roll(temperature, 1))  # noqa: E731
    assert max(relative_errors(chunked, shifted, inputs, (1.0, 0.3, 0.2), temperature)) > 1e-2


@pytest.mark.parametrize(
    "broken", [dense_without_temperature, dense_with_detached_entropy, dense_with_detached_normalizer]
)
def test_linear_logprobs_when_the_reference_is_broken_then_the_check_fails(inputs, broken):
    assert max(relative_errors(linear_logprobs, broken, inputs, (1.0, 0.3, 0.2))) > 1e-2


@pytest.mark.parametrize("chunk", [6, 1024])
def test_linear_logprobs_of_a_capped_head_with_a_bias_equal_dense_and_each_is_felt(inputs, chunk):
    hidden, matrix, targets, cotangents = inputs
    bias = jnp.asarray(np.random.default_rng(2).normal(size=VOCAB), jnp.float32)
    whole = hidden, Head(matrix=matrix, bias=bias, softcap=3.0), targets, cotangents
    chunked = lambda *arguments: linear_logprobs(*arguments, chunk=chunk)  # noqa: E731
    assert max(relative_errors(chunked, dense_of_a_whole_head, whole, (1.0, 0.3, 0.2))) < 3e-6
    for broken in (dense_of_an_uncapped_head, dense_of_a_head_without_bias):
        assert max(relative_errors(chunked, broken, whole, (1.0, 0.3, 0.2))) > 1e-2


def test_linear_logprobs_when_two_tokens_then_equals_hand_computed():
    head = jnp.asarray([[0.0, np.log(3.0)]])
    found = linear_logprobs(jnp.ones((1, 1)), head, jnp.asarray([1]))
    logprobs, entropy = found.logprob, found.entropy
    np.testing.assert_allclose(found.log_normalizer, [np.log(4)], rtol=1e-6)
    assert found.is_argmax[0] == 1
    np.testing.assert_allclose(logprobs, [np.log(0.75)], rtol=1e-6)
    np.testing.assert_allclose(entropy, [-0.75 * np.log(0.75) - 0.25 * np.log(0.25)], rtol=1e-6)


def test_linear_logprobs_when_rows_are_flat_then_equal_those_of_a_batch(inputs):
    hidden, head, targets, _ = inputs
    flat = linear_logprobs(hidden.reshape(-1, WIDTH), head, targets.reshape(-1), chunk=4)
    batched = linear_logprobs(hidden, head, targets, chunk=4)
    for ours, theirs in zip(flat, batched, strict=True):
        np.testing.assert_allclose(ours.reshape(ROWS, LENGTH), theirs, rtol=1e-5)


def test_linear_logprobs_when_compiled_then_no_array_holds_all_logits():
    hidden, head = jnp.ones((2, 64, 8)), jnp.ones((8, 1024))
    targets = jnp.zeros((2, 64), jnp.int32)
    total = lambda hidden, head, chunk: jnp.sum(linear_logprobs(hidden, head, targets, 1.0, chunk)[0])  # noqa: E731

    def temporary_bytes(chunk):
        gradient = jax.jit(jax.grad(total, argnums=(0, 1)), static_argnums=2)
        return gradient.lower(hidden, head, chunk).compile().memory_analysis().temp_size_in_bytes

    all_logits = 2 * 64 * 1024 * 4
    assert temporary_bytes(8) < all_logits / 2
    assert temporary_bytes(128) >= all_logits


@pytest.mark.parametrize("temperature", [0.7, "each"])
def test_logits_of_a_single_chunk_are_computed_once_and_otherwise_twice(temperature):
    hidden, head, targets = jnp.ones((2, 64, 8)), jnp.ones((8, 1024)), jnp.zeros((2, 64), jnp.int32)
    at = jnp.full((2, 64), 0.7) if temperature == "each" else temperature

    def products(chunk):
        total = lambda hidden, head: jnp.sum(linear_logprobs(hidden, head, targets, at, chunk)[0])  # noqa: E731
        text = str(jax.make_jaxpr(jax.grad(total, argnums=(0, 1)))(hidden, head))
        return text.count("dot_general[")

    assert (products(128), products(64)) == (3, 4)


@pytest.mark.parametrize(
    ("option", "vocab_size", "positions"),
    [("auto", 8192, 8192), ("auto", 151_936, 1024), ("auto", 300, 223_696), (7, 8192, 7)],
)
def test_chunk_of_auto_fills_the_bound_but_is_not_small(option, vocab_size, positions):
    assert chunk_of(option, vocab_size) == positions


def test_linear_logprobs_when_bfloat16_then_results_are_fp32_and_near(inputs):
    hidden, head, targets, _ = inputs
    rounded = hidden.astype(jnp.bfloat16), head.astype(jnp.bfloat16)
    logprobs, entropy = linear_logprobs(*rounded, targets)[:2]
    reference = dense(*(array.astype(jnp.float32) for array in rounded), targets, 1.0).logprob
    assert logprobs.dtype == entropy.dtype == jnp.float32
    np.testing.assert_allclose(logprobs, reference, atol=2e-5)
    gradient = jax.grad(lambda head: jnp.sum(linear_logprobs(rounded[0], head, targets)[0]))(rounded[1])
    assert gradient.dtype == jnp.bfloat16


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (2, 1)], ids=str)
def test_logprobs_of_few_or_no_positions_have_their_shape_and_gradients(shape):
    head, targets = jnp.ones((4, 7)), jnp.zeros(shape, jnp.int32)
    hidden = jnp.ones((*shape, 4))
    value, gradient = jax.value_and_grad(lambda h: linear_logprobs(h, head, targets).logprob.sum())(hidden)
    assert np.isclose(value, -math.prod(shape) * np.log(7))
    assert gradient.shape == hidden.shape

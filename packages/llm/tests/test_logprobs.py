import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.logprobs import linear_logprobs

ROWS, LENGTH, WIDTH, VOCAB = 3, 7, 16, 50


def dense(hidden, head, targets, temperature):
    """All logits at once, differentiated by jax."""
    logprobs = jax.nn.log_softmax(jnp.einsum("btd,dv->btv", hidden, head) / temperature)
    at_target = jnp.take_along_axis(logprobs, targets[..., None], axis=-1)[..., 0]
    return at_target, -jnp.sum(jnp.exp(logprobs) * logprobs, axis=-1)


def dense_without_temperature(hidden, head, targets, temperature):
    del temperature
    return dense(hidden, head, targets, 1.0)


def dense_with_detached_entropy(hidden, head, targets, temperature):
    logprobs, entropy = dense(hidden, head, targets, temperature)
    return logprobs, jax.lax.stop_gradient(entropy)


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    normal = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    targets = jnp.asarray(rng.integers(0, VOCAB, (ROWS, LENGTH)), jnp.int32)
    cotangents = normal(ROWS, LENGTH), normal(ROWS, LENGTH)
    return normal(ROWS, LENGTH, WIDTH), normal(WIDTH, VOCAB), targets, cotangents


def relative_errors(function, reference, inputs, factors):
    """Compare values and both gradients of sum(a log p + b H) by norm."""
    hidden, head, targets, (for_logprobs, for_entropy) = inputs

    def everything(of):
        def total(hidden, head):
            logprobs, entropy = of(hidden, head, targets, 0.7)
            total = factors[0] * jnp.sum(logprobs * for_logprobs) + factors[1] * jnp.sum(
                entropy * for_entropy
            )
            return total, (logprobs, entropy)

        gradients, values = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(hidden, head)
        return [*values, *gradients]

    pairs = zip(everything(function), everything(reference), strict=True)
    return [float(jnp.linalg.norm(ours - theirs) / jnp.linalg.norm(theirs)) for ours, theirs in pairs]


@pytest.mark.parametrize("chunk", [1, 3, 6, 12, 1024])
@pytest.mark.parametrize("factors", [(1.0, 0.0), (0.0, 1.0), (1.0, 0.3)])
def test_linear_logprobs_when_chunked_then_values_and_gradients_equal_dense(inputs, chunk, factors):
    chunked = lambda *arguments: linear_logprobs(*arguments, chunk=chunk)  # noqa: E731
    assert max(relative_errors(chunked, dense, inputs, factors)) < 3e-6


@pytest.mark.parametrize("broken", [dense_without_temperature, dense_with_detached_entropy])
def test_linear_logprobs_when_the_reference_is_broken_then_the_check_fails(inputs, broken):
    assert max(relative_errors(linear_logprobs, broken, inputs, (1.0, 0.3))) > 1e-2


def test_linear_logprobs_when_two_tokens_then_equals_hand_computed():
    head = jnp.asarray([[0.0, np.log(3.0)]])
    logprobs, entropy = linear_logprobs(jnp.ones((1, 1)), head, jnp.asarray([1]))
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


def test_linear_logprobs_when_bfloat16_then_results_are_fp32_and_near(inputs):
    hidden, head, targets, _ = inputs
    rounded = hidden.astype(jnp.bfloat16), head.astype(jnp.bfloat16)
    logprobs, entropy = linear_logprobs(*rounded, targets)
    reference, _ = dense(*(array.astype(jnp.float32) for array in rounded), targets, 1.0)
    assert logprobs.dtype == entropy.dtype == jnp.float32
    np.testing.assert_allclose(logprobs, reference, atol=2e-5)
    gradient = jax.grad(lambda head: jnp.sum(linear_logprobs(rounded[0], head, targets)[0]))(rounded[1])
    assert gradient.dtype == jnp.bfloat16

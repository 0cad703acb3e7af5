"""Drawing tokens: frequencies, temperature, the greedy limit, and what a row does not depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.sample.sampling import sample

pytestmark = pytest.mark.fast

LOGITS = np.array([2.0, 1.0, 0.0, -1.0, -30.0], np.float32)
DRAWS = 20_000


def _softmax(logits):
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


@pytest.fixture(scope="module")
def draw():
    """Return a function that draws many times from `LOGITS` at one temperature."""

    def tokens(temperature):
        keys = jax.random.split(jax.random.key(1), DRAWS)
        logits = jnp.tile(LOGITS, (DRAWS, 1))
        return [np.asarray(each) for each in jax.jit(sample)(keys, logits, jnp.full(DRAWS, temperature))]

    return tokens


def _assert_frequencies(tokens, probabilities):
    """Check every frequency to five standard deviations of a binomial, plus one draw."""
    frequencies = np.bincount(tokens, minlength=len(probabilities)) / len(tokens)
    allowed = 5 * np.sqrt(probabilities * (1 - probabilities) / len(tokens)) + 1 / len(tokens)
    assert (np.abs(frequencies - probabilities) <= allowed).all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_follow_tempered_softmax(draw, temperature):
    tokens, logprobs = draw(np.float32(temperature))
    _assert_frequencies(tokens, _softmax(LOGITS / temperature))
    np.testing.assert_allclose(logprobs, np.log(_softmax(LOGITS / temperature))[tokens], rtol=1e-5, atol=1e-6)


def test_frequencies_of_another_temperature_fail(draw):
    tokens, _ = draw(np.float32(1.0))
    with pytest.raises(AssertionError):
        _assert_frequencies(tokens, _softmax(LOGITS / 1.1))


def test_temperature_zero_takes_first_likeliest_and_reports_raw_logprob():
    keys = jax.random.split(jax.random.key(0), 2)
    logits = jnp.array([[0.0, 3.0, 3.0], [1.0, 0.0, -1.0]])
    tokens, logprobs = sample(keys, logits, jnp.zeros(2))
    assert tokens.tolist() == [1, 0]
    expected = [
        np.log(_softmax(np.array(row))[token]) for row, token in zip(logits.tolist(), [1, 0], strict=True)
    ]
    np.testing.assert_allclose(logprobs, expected, rtol=1e-6)


def test_row_beside_greedy_mates_keeps_its_token():
    keys = jax.random.split(jax.random.key(2), 6)
    logits = jax.random.normal(jax.random.key(3), (6, 9))
    all_sampled, _ = sample(keys, logits, jnp.ones(6))
    mixed, _ = sample(keys, logits, jnp.array([1.0, 0, 1, 0, 1, 0]))
    assert mixed[::2].tolist() == all_sampled[::2].tolist()
    assert mixed[1::2].tolist() == jnp.argmax(logits, -1)[1::2].tolist()

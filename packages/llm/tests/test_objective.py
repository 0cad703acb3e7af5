import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.batch import TokenBatch, make_batch
from burnish.llm.config.family import Qwen2
from burnish.llm.config.objective import CrossEntropy
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.objective import ObjectiveContext, cross_entropy, weighted_sum
from burnish.llm.policy import policy_of
from burnish.llm.sequence import TEMPERATURE, make_sample
from burnish.platform.configuration.config import JaxConfig
from burnish.platform.errors import ConfigError


@pytest.fixture
def model(hf_config):
    return Qwen2().build(FamilyContext(hf_config=hf_config))


def ragged_batch(padding_side="right", temperature=None):
    rng = np.random.default_rng(0)
    sizes = ((3, 4), (1, 2), (2, 5))
    column = {} if temperature is None else {TEMPERATURE: temperature}
    samples = [
        make_sample(
            rng.integers(0, 60, p),
            rng.integers(0, 60, c),
            {name: np.full(c, value) for name, value in column.items()},
        )
        for p, c in sizes
    ]
    batch = make_batch(samples, num_rows=4, length=8, pad_token_id=60, padding_side=padding_side)
    return samples, jax.tree.map(jnp.asarray, batch)


def logprobs_by_definition(logits_of, model, params, sample, *, shift=1, temperature=1.0):
    """Score one sample without padding; `shift` is the distance from hidden state to token."""
    logits = logits_of(model, params, sample.tokens[None])[0] / temperature
    logprobs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    positions = np.arange(shift, len(sample))
    entropy = -(np.exp(logprobs) * logprobs).sum(axis=-1)
    return logprobs[positions - shift, sample.tokens[positions]], entropy[positions - shift]


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_policy_when_rows_are_ragged_then_entry_t_scores_token_t(
    model, scaled_params, logits_of, padding_side, temperature
):
    params = jax.tree.map(jnp.asarray, scaled_params(model))
    samples, batch = ragged_batch(padding_side, temperature)
    policy = policy_of(model, params, batch)
    logprobs, entropy = np.asarray(policy.logprobs()), np.asarray(policy.entropy())
    for row, sample in enumerate(samples):
        where = np.flatnonzero(batch.segment_ids[row])
        expected = logprobs_by_definition(logits_of, model, params, sample, temperature=temperature)
        own = where[sample.prefix_length :]
        np.testing.assert_allclose(
            logprobs[row, own], expected[0][sample.prefix_length - 1 :], rtol=1e-5, atol=1e-5
        )
        np.testing.assert_allclose(
            entropy[row, own], expected[1][sample.prefix_length - 1 :], rtol=1e-5, atol=1e-5
        )
        written, _ = logprobs_by_definition(logits_of, model, params, sample)
        np.testing.assert_allclose(
            logprobs[row, where[1 : sample.prefix_length]],
            written[: sample.prefix_length - 1],
            rtol=1e-5,
            atol=1e-5,
        )
        assert logprobs[row, where[0]] == entropy[row, where[0]] == 0
        unshifted, _ = logprobs_by_definition(
            logits_of, model, params, sample, shift=0, temperature=temperature
        )
        assert not np.allclose(logprobs[row, where], unshifted, atol=1e-2)
    assert np.all(logprobs[batch.segment_ids == 0] == 0)


def test_cross_entropy_when_called_then_statistic_is_the_token_mean(model, scaled_params):
    params = jax.tree.map(jnp.asarray, scaled_params(model))
    _, batch = ragged_batch()
    values, statistics = cross_entropy(policy_of(model, params, batch), batch)
    total, count = statistics["cross_entropy"]
    assert count == 11
    np.testing.assert_allclose(total / count, weighted_sum(values, batch), rtol=1e-6)


def test_cross_entropy_component_when_built_twice_then_is_one_hashable_callable():
    context = ObjectiveContext(jax=JaxConfig())
    assert CrossEntropy().build(context) is CrossEntropy().build(context) is cross_entropy


def test_policy_when_nothing_is_called_then_no_logits_are_computed(model, scaled_params):
    params = jax.tree.map(jnp.asarray, scaled_params(model))
    _, batch = ragged_batch()

    def hlo(use):
        computation = jax.jit(lambda params: use(policy_of(model, params, batch)))
        return computation.lower(params).as_text()

    has_logits = f"x{model.vocab_size}xf32>"
    assert has_logits not in hlo(lambda policy: policy.hidden)
    assert has_logits in hlo(lambda policy: policy.logprobs())


def test_policy_when_logprobs_and_entropy_are_asked_then_the_head_is_applied_once(model, scaled_params):
    params = jax.tree.map(jnp.asarray, scaled_params(model))
    _, batch = ragged_batch()
    policy = policy_of(model, params, batch)

    def count(use):
        jaxpr = jax.make_jaxpr(lambda: use(policy_of(model, params, batch)))()
        return str(jaxpr).count("custom_vjp_call")

    without_head = count(lambda policy: policy.hidden)
    assert count(lambda policy: (policy.logprobs(), policy.entropy(), policy.logprobs())) == without_head + 1
    assert policy.logprobs() is policy.logprobs()


def batch_with(weights, sequences):
    integers = np.asarray(sequences, np.int32)
    names = ("tokens", "positions", "segment_ids", "sequences", "sample_ids")
    return TokenBatch(
        **dict.fromkeys(names, integers),
        columns={"weights": jnp.asarray(weights, jnp.float32)},
        max_sequences=2,
    )


def test_weighted_sum_when_values_are_per_sequence_then_sequences_weigh_what_their_tokens_do():
    batch = batch_with([[0, 0.25, 0.25, 0.125], [0, 0.5, 0, 0]], [[1, 1, 1, 2], [1, 1, 0, 0]])
    assert weighted_sum(jnp.asarray([[2.0, 8.0], [6.0, 9.0]]), batch) == 1 + 1 + 3
    assert weighted_sum(jnp.asarray([[9.0, 2.0, 2.0, 8.0], [9.0, 6.0, 9.0, 9.0]]), batch) == 1 + 1 + 3


@pytest.mark.parametrize("shape", [(2,), (2, 1), (2, 3), (4, 2), ()])
def test_weighted_sum_when_values_are_of_another_shape_then_they_are_refused(shape):
    batch = batch_with(np.ones((2, 4)), np.ones((2, 4)))
    said = r"pairs returns values of shape .*; legal are one per token \(2, 4\) or per sequence \(2, 2\)"
    with pytest.raises(ConfigError, match=said):
        weighted_sum(jnp.zeros(shape), batch, "pairs")


def test_weighted_sum_when_a_value_without_weight_is_not_finite_then_is_finite():
    batch = batch_with([[0, 1, 0]], [[1, 1, 1]])
    assert weighted_sum(jnp.asarray([[jnp.inf, 3.0, jnp.nan]]), batch) == 3.0


def test_policy_when_two_segments_share_a_row_then_equal_two_rows(model, scaled_params):
    params = jax.tree.map(jnp.asarray, scaled_params(model))
    samples, batch = ragged_batch()
    first, second = samples[0], samples[1]
    packed = TokenBatch(
        tokens=np.concatenate([first.tokens, second.tokens])[None],
        positions=np.concatenate([np.arange(len(first)), np.arange(len(second))])[None].astype(np.int32),
        segment_ids=np.repeat([1, 2], [len(first), len(second)])[None].astype(np.int32),
        sequences=np.repeat([1, 2], [len(first), len(second)])[None].astype(np.int32),
        sample_ids=np.repeat([0, 1], [len(first), len(second)])[None].astype(np.int32),
        columns={"weights": np.zeros((1, len(first) + len(second)), np.float32)},
    )
    apart = policy_of(model, params, batch).logprobs()
    packed = jax.tree.map(jnp.asarray, packed)
    expected = np.concatenate([apart[0, : len(first)], apart[1, : len(second)]])
    np.testing.assert_allclose(policy_of(model, params, packed).logprobs()[0], expected, rtol=1e-5, atol=1e-5)
    assert policy_of(model, params, packed).logprobs()[0, len(first)] == 0

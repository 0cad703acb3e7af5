"""What the forward pass must not depend on: padding, packing, the cache, remat and unrolling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.config.family import Qwen2
from burnish.llm.families.layers import Compute
from burnish.llm.families.protocol import FamilyContext


@pytest.fixture
def untied(hf_config):
    return Qwen2().build(FamilyContext(hf_config={**hf_config, "tie_word_embeddings": False}))


def tokens_for(model, rows=3, length=11):
    return np.random.default_rng(7).integers(0, model.vocab_size, (rows, length))


def padded(tokens, lengths, side, width):
    """Return tokens, positions and segment ids of ragged rows padded on one side."""
    made = [np.zeros((len(lengths), width), int) for _ in range(3)]
    for row, length in enumerate(lengths):
        span = slice(0, length) if side == "right" else slice(width - length, width)
        for array, values in zip(made, (tokens[row, :length], np.arange(length), 1), strict=True):
            array[row, span] = values
    return made


def valid(logits, segment_ids):
    return np.concatenate([row[mask > 0] for row, mask in zip(logits, segment_ids, strict=True)])


@pytest.mark.parametrize("side", ["left", "right"])
def test_logits_of_a_padded_row_are_those_of_the_row_alone(
    untied, scaled_params, logits_of, assert_same_logits, side
):
    params, tokens, lengths = scaled_params(untied), tokens_for(untied), (11, 4, 7)
    alone = np.concatenate(
        [logits_of(untied, params, tokens[i : i + 1, :length])[0] for i, length in enumerate(lengths)]
    )
    batch = padded(tokens, lengths, side, 13)
    assert_same_logits(valid(logits_of(untied, params, *batch), batch[2]), alone)


def test_logits_of_a_left_padded_row_without_segment_ids_are_others(
    untied, scaled_params, logits_of, assert_same_logits
):
    params, tokens, lengths = scaled_params(untied), tokens_for(untied), (11, 4, 7)
    left, right = padded(tokens, lengths, "left", 13), padded(tokens, lengths, "right", 13)
    ignored = logits_of(untied, params, *left[:2])
    with pytest.raises(AssertionError):
        assert_same_logits(valid(ignored, left[2]), valid(logits_of(untied, params, *right), right[2]))


@pytest.mark.parametrize("is_separated", [True, False], ids=["segments", "one-segment"])
def test_logits_of_packed_rows_are_those_of_rows_apart_only_with_segment_ids(
    untied, scaled_params, logits_of, assert_same_logits, is_separated
):
    params, tokens = scaled_params(untied), tokens_for(untied, 2, 6)
    packed = tokens.reshape(1, 12)
    positions = np.tile(np.arange(6), 2)[None]
    segments = np.repeat([1, 2] if is_separated else [1, 1], 6)[None]
    actual = logits_of(untied, params, packed, positions, segments).reshape(2, 6, -1)
    expected = logits_of(untied, params, tokens)
    if is_separated:
        assert_same_logits(actual, expected)
    else:
        with pytest.raises(AssertionError):
            assert_same_logits(actual, expected)


def decode(model, params, tokens, lengths, *, chunk=4, shift=0):
    """Return logits by chunked prefill of the first half of each ragged row, then single steps."""
    step, params = jax.jit(model.forward), jax.tree.map(jnp.asarray, params)
    cache = model.init_cache(len(lengths), 16, jnp.float32)
    logits = np.zeros((*tokens.shape, model.vocab_size), np.float32)
    done, prompts = np.zeros(len(lengths), int), np.asarray(lengths) // 2

    def run(widths, width, shift=0):
        nonlocal cache, done
        columns = np.arange(width)[None]
        segments = (columns < widths[:, None]).astype(np.int32)
        positions = np.minimum(done[:, None] + columns, tokens.shape[1] - 1)
        ids = np.take_along_axis(tokens, positions, axis=1)
        arrays = [jnp.asarray(a, jnp.int32) for a in (ids, (positions + shift) * segments, segments)]
        hidden, cache, _ = step(params, *arrays, cache)
        values = np.asarray(model.head(params).logits(hidden))
        for row, column in np.argwhere(segments):
            logits[row, done[row] + column] = values[row, column]
        done = done + widths

    while (done < prompts).any():
        run(np.clip(prompts - done, 0, chunk), chunk)
    while (done < lengths).any():
        run((done < lengths).astype(int), 1, shift)
    return logits


@pytest.mark.parametrize("chunk", [1, 4, 8])
def test_decoding_with_a_cache_gives_the_logits_of_the_full_forward(
    untied, scaled_params, logits_of, assert_same_logits, chunk
):
    params, tokens, lengths = scaled_params(untied), tokens_for(untied), (11, 3, 8)
    batch = padded(tokens, lengths, "right", 11)
    expected = valid(logits_of(untied, params, *batch), batch[2])
    assert_same_logits(valid(decode(untied, params, tokens, lengths, chunk=chunk), batch[2]), expected)


def test_decoding_at_stale_positions_gives_others(untied, scaled_params, logits_of, assert_same_logits):
    params, tokens, lengths = scaled_params(untied), tokens_for(untied), (11, 3, 8)
    batch = padded(tokens, lengths, "right", 11)
    expected = valid(logits_of(untied, params, *batch), batch[2])
    with pytest.raises(AssertionError):
        assert_same_logits(valid(decode(untied, params, tokens, lengths, shift=-1), batch[2]), expected)


def test_a_cached_forward_of_padding_leaves_the_cache_as_it_was(untied, scaled_params):
    cache = untied.init_cache(2, 8, jnp.float32)
    zeros = jnp.zeros((2, 3), jnp.int32)
    written = jax.jit(untied.forward)(scaled_params(untied), zeros, zeros, zeros, cache).cache
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(written))


def gradients(hf_config, params, **options):
    model = Qwen2().build(FamilyContext(hf_config=hf_config, compute=Compute(**options)))
    tokens = jnp.asarray(tokens_for(model), jnp.int32)
    positions = jnp.tile(jnp.arange(11)[None], (3, 1))

    def loss(params):
        hidden = model.forward(params, tokens, positions, jnp.ones_like(tokens)).hidden
        return jnp.mean(model.head(params).logits(hidden) ** 2)

    return jax.jit(jax.grad(loss))(params)


def test_gradients_do_not_depend_on_remat_or_unroll(hf_config, scaled_params):
    params = scaled_params(Qwen2().build(FamilyContext(hf_config=hf_config)))
    plain = gradients(hf_config, params)
    for options in ({"remat": "full"}, {"remat": "dots", "unroll": 1}, {"remat": "attention"}, {"unroll": 1}):
        for leaf, expected in zip(
            jax.tree.leaves(gradients(hf_config, params, **options)), jax.tree.leaves(plain), strict=True
        ):
            assert jnp.linalg.norm(leaf - expected) <= 1e-5 * jnp.linalg.norm(expected)

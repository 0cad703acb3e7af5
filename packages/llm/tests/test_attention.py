import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.attention import attention, cache_mask, segment_mask
from burnish.llm.families.rotary import rotary_angles, rotate
from burnish.llm.kv_cache import KVCache, empty_cache, write_indices, write_layer


def test_a_segment_mask_is_causal_within_each_segment():
    mask = segment_mask(jnp.array([[1, 1, 2, 0]]))[0].astype(int).tolist()
    assert mask == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def test_a_cache_mask_ends_at_the_position():
    assert cache_mask(jnp.array([[0, 2]]), 4)[0].astype(int).tolist() == [[1, 0, 0, 0], [1, 1, 1, 0]]


def naive(queries, keys, values, mask):
    """Return attention by loops, in float64."""
    group = queries.shape[2] // keys.shape[2]
    context = np.zeros(queries.shape)
    for row, token, head in np.ndindex(queries.shape[:3]):
        scores = keys[row, :, head // group] @ queries[row, token, head] / np.sqrt(queries.shape[-1])
        weights = np.where(mask[row, token], np.exp(scores - scores.max()), 0)
        context[row, token, head] = weights / weights.sum() @ values[row, :, head // group]
    return context


def test_attention_is_what_loops_compute_and_not_with_the_heads_regrouped():
    generator = np.random.default_rng(0)
    queries = generator.standard_normal((2, 5, 4, 6)).astype(np.float32)
    keys, values = generator.standard_normal((2, 2, 5, 2, 6)).astype(np.float32)
    mask = np.asarray(segment_mask(jnp.array([[1, 1, 1, 2, 2], [1, 1, 1, 1, 1]])))
    arrays = [jnp.asarray(array) for array in (queries, keys, values, mask)]
    expected = naive(*(array.astype(np.float64) for array in (queries, keys, values)), mask)
    assert np.abs(attention(*arrays) - expected).max() < 1e-6
    assert np.abs(attention(arrays[0], arrays[1][:, :, ::-1], *arrays[2:]) - expected).max() > 1e-2


def test_a_row_that_may_attend_to_nothing_is_finite_with_finite_gradients():
    ones = jnp.ones((1, 2, 2, 4))
    nothing = jnp.zeros((1, 2, 2), bool)
    value, gradient = jax.value_and_grad(lambda x: attention(x, ones, ones, nothing).sum())(ones)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_rotation_turns_each_pair_by_position_times_frequency():
    positions = jnp.array([[0, 3]])
    values = jnp.array([1.0, 2.0, 3.0, 4.0])[None, None, None].repeat(2, axis=1)
    turned = rotate(values, *rotary_angles(positions, 4, 100.0))
    assert np.allclose(turned[0, 0], values[0, 0])
    for pair, frequency in ((0, 1.0), (1, 0.1)):
        expected = (values[0, 1, 0, pair] + 1j * values[0, 1, 0, pair + 2]) * np.exp(3j * frequency)
        actual = turned[0, 1, 0, pair] + 1j * turned[0, 1, 0, pair + 2]
        assert abs(expected - actual) < 1e-6


@pytest.mark.parametrize(("theta", "head_dim"), [(10_000.0, 64), (1_000_000.0, 128), (100.0, 16)])
def test_angles_far_out_are_those_of_transformers(theta, head_dim):
    torch = pytest.importorskip("torch")
    position = 30_000
    exponents = torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim
    theirs = position * (1.0 / theta**exponents)
    cosine, sine = rotary_angles(jnp.array([[position]]), head_dim, theta)
    half = head_dim // 2
    assert np.abs(np.asarray(cosine[0, 0, 0, :half]) - torch.cos(theirs).numpy()).max() < 5e-6
    assert np.abs(np.asarray(sine[0, 0, 0, :half]) - torch.sin(theirs).numpy()).max() < 5e-6


def test_keys_and_values_are_written_at_their_positions_and_padding_is_dropped():
    cache = empty_cache((2, 2, 4, 1, 1), jnp.float32)
    indices = write_indices(jnp.array([[1, 2], [3, 0]]), jnp.array([[1, 1], [1, 0]]), cache.length)
    new = jnp.array([[1.0, 2.0], [3.0, 4.0]])[:, :, None, None]
    written = write_layer(cache, jnp.int32(1), indices, new, -new)
    assert isinstance(written, KVCache)
    assert written.keys[1, :, :, 0, 0].tolist() == [[0, 1, 2, 0], [0, 0, 0, 3]]
    assert written.values[1, :, :, 0, 0].tolist() == [[0, -1, -2, 0], [0, 0, 0, -3]]
    assert not written.keys[0].any()

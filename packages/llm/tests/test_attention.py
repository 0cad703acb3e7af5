import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm.attention import QKV, AttentionSpec, Span, attention, masked_attention, span_mask
from burnish.llm.families.frequencies import rotary_of
from burnish.llm.families.hf_config import HFConfig
from burnish.llm.families.rotary import Rotary, rotary_angles, rotate
from burnish.llm.kv_cache import cache_mask, empty_cache


def span(segment_ids, positions=None, visible_until=None):
    segments = jnp.asarray(segment_ids)
    if positions is None:
        positions = jnp.tile(jnp.arange(segments.shape[1]), (segments.shape[0], 1))
    return Span(jnp.asarray(positions), segments, visible_until)


def test_a_mask_is_causal_within_each_segment():
    mask = span_mask(span([[1, 1, 2, 0]]))[0].astype(int).tolist()
    assert mask == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def test_a_window_is_counted_in_positions():
    mask = span_mask(span([[1, 1, 1, 1]], [[0, 1, 2, 2]]), window=2)[0].astype(int).tolist()
    assert mask == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 1]]


@pytest.mark.parametrize(
    ("window", "expected"), [(None, [[1, 0, 0, 0], [1, 1, 1, 0]]), (2, [[1, 0, 0, 0], [0, 1, 1, 0]])]
)
def test_a_cache_mask_ends_at_the_position_and_is_no_wider_than_the_window(window, expected):
    assert cache_mask(jnp.array([[0, 2]]), 4, window)[0].astype(int).tolist() == expected


def naive(qkv, mask, spec):
    """Return attention by loops, in float64."""
    queries, keys, values = (np.asarray(array, np.float64) for array in qkv)
    group = queries.shape[2] // keys.shape[2]
    context = np.zeros(queries.shape)
    for row, token, head in np.ndindex(queries.shape[:3]):
        scores = keys[row, :, head // group] @ queries[row, token, head] * spec.scale
        if spec.softcap is not None:
            scores = spec.softcap * np.tanh(scores / spec.softcap)
        weights = np.where(mask[row, token], np.exp(scores - scores.max()), 0)
        context[row, token, head] = weights / weights.sum() @ values[row, :, head // group]
    return context


SPECS = [
    AttentionSpec(scale=0.4),
    AttentionSpec(scale=2.0, softcap=1.5),
    AttentionSpec(scale=0.4, window=2),
]


@pytest.fixture(scope="module")
def qkv():
    generator = np.random.default_rng(0)
    queries = jnp.asarray(generator.standard_normal((2, 5, 4, 6)), jnp.float32)
    keys, values = jnp.asarray(generator.standard_normal((2, 2, 5, 2, 6)), jnp.float32)
    return QKV(queries, keys, values)


@pytest.mark.parametrize("spec", SPECS)
def test_attention_is_what_loops_compute_and_each_part_of_the_spec_is_felt(qkv, spec):
    tokens = span([[1, 1, 1, 2, 2], [1, 1, 1, 1, 1]])
    expected = naive(qkv, np.asarray(span_mask(tokens, spec.window)), spec)
    assert np.abs(attention(qkv, tokens, spec) - expected).max() < 1e-6
    regrouped = qkv._replace(keys=qkv.keys[:, :, ::-1])
    others = [(regrouped, spec), *((qkv, other) for other in SPECS if other != spec)]
    assert all(np.abs(attention(those, tokens, other) - expected).max() > 1e-2 for those, other in others)


def test_a_row_that_may_attend_to_nothing_is_finite_with_finite_gradients():
    ones = jnp.ones((1, 2, 2, 4))
    nothing = jnp.zeros((1, 2, 2), bool)

    def total(queries):
        return masked_attention(QKV(queries, ones, ones), nothing, SPECS[0], "bsnk").sum()

    value, gradient = jax.value_and_grad(total)(ones)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_rotation_turns_each_pair_by_position_times_frequency():
    positions = jnp.array([[0, 3]])
    values = jnp.array([1.0, 2.0, 3.0, 4.0])[None, None, None].repeat(2, axis=1)
    turned = rotate(values, *rotary_angles(positions, Rotary((1.0, 0.1))))
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
    rotary = rotary_of(HFConfig({}, "qwen2"), theta=theta, head_dim=head_dim, max_positions=0)
    cosine, sine = rotary_angles(jnp.array([[position]]), rotary)
    half = head_dim // 2
    assert np.abs(np.asarray(cosine[0, 0, 0, :half]) - torch.cos(theirs).numpy()).max() < 5e-6
    assert np.abs(np.asarray(sine[0, 0, 0, :half]) - torch.sin(theirs).numpy()).max() < 5e-6


def test_keys_and_values_are_written_at_their_positions_and_padding_is_dropped():
    cache = empty_cache(2, (2, 1, 4, 1), jnp.float32)
    new = jnp.array([[1.0, 2.0], [3.0, 4.0]])[:, :, None, None]
    tokens = span([[1, 1], [1, 0]], [[1, 2], [3, 0]])
    _, written = cache.attend(1, QKV(new, new, -new), tokens, SPECS[0])
    assert written.keys[1][:, 0, :, 0].tolist() == [[0, 1, 2, 0], [0, 0, 0, 3]]
    assert written.values[1][:, 0, :, 0].tolist() == [[0, -1, -2, 0], [0, 0, 0, -3]]
    assert not written.keys[0].any()


@pytest.mark.parametrize("spec", SPECS)
def test_attention_beside_a_cache_is_that_over_the_whole_row(qkv, spec):
    expected = attention(qkv, span(np.ones((2, 5), int)), spec)
    cache = empty_cache(1, (2, 2, 7, 6), jnp.float32)
    for start, end in ((0, 3), (3, 4), (4, 5)):
        tokens = span(np.ones((2, end - start), int), np.tile(np.arange(start, end), (2, 1)))
        context, cache = cache.attend(0, QKV(*(array[:, start:end] for array in qkv)), tokens, spec)
        assert np.abs(context - expected[:, start:end]).max() < 1e-6

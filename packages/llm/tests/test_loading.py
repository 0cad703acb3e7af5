"""A backend that is loaded holds what it holds of the same parameters in numpy, bit for bit."""

import jax
import numpy as np
import pytest

from burnish.llm.objective import cross_entropy
from burnish.llm.placement import place_params
from burnish.llm.testing import scaled_params, tiny_qwen2
from burnish.llm.train_state import adopt, load_params

DTYPES = [(one, other) for one in ("float32", "bfloat16") for other in ("float32", "bfloat16")]
PARTS = {
    "all": {},
    "frozen": {"frozen": ("layers/mlp", "embed")},
    "rows": {"trainable_rows": {"embed": 40}, "frozen": ("layers",)},
}


@pytest.fixture
def layout_of(make_training):
    def make(mesh_shape, dtypes, options, **context):
        return make_training(mesh_shape, dtypes=dtypes, **options, **context)._layout

    return make


def bits(tree):
    return [(leaf.dtype, leaf.sharding.spec, np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize("options", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("dtypes", DTYPES, ids="-".join)
def test_a_state_when_loaded_then_is_that_of_the_tree_adopted(layout_of, dtypes, options):
    layout = layout_of((1, 2, 2), dtypes, options)
    params = scaled_params(layout.model, seed=3)
    loaded = load_params(layout, lambda like: place_params(params, like))
    parts = [
        jax.device_put(part, where)
        for part, where in zip(layout.partition.split(params), layout.param_shardings(), strict=True)
    ]
    adopted = adopt(layout, tuple(params))(*parts)
    assert jax.tree.structure(loaded) == jax.tree.structure(adopted)
    assert bits(loaded) == bits(adopted)
    changed = load_params(layout, lambda like: place_params(scaled_params(layout.model, seed=4), like))
    assert bits(changed) != bits(adopted), "a twin of other parameters"


def test_each_parameter_when_loaded_then_is_asked_for_once_and_frozen_ones_in_the_narrower_type(layout_of):
    layout = layout_of((1, 1), ("float32", "bfloat16"), PARTS["frozen"])
    asked = []

    def load(like):
        asked.append(like)
        return place_params(scaled_params(layout.model), like)

    load_params(layout, load)
    [like] = asked
    assert jax.tree.structure(like) == jax.tree.structure(layout.model.abstract("float32"))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(like["layers"]["mlp"])} == {"bfloat16"}
    assert like["layers"]["attention"]["query"].dtype.name == "float32"


def test_masters_and_weights_when_the_types_are_equal_then_are_arrays_of_their_own(layout_of):
    layout = layout_of((1, 1), ("float32", "float32"), {})
    masters, weights, _ = load_params(layout, lambda like: place_params(scaled_params(layout.model), like))
    pairs = zip(jax.tree.leaves(masters), jax.tree.leaves(weights), strict=True)
    assert all(one.unsafe_buffer_pointer() != other.unsafe_buffer_pointer() for one, other in pairs)


def test_a_model_whose_sizes_do_not_divide_when_loaded_then_trains_on_any_mesh(
    make_training, batch_of, assert_bit_equal
):
    model = tiny_qwen2(vocab_size=61, hidden_size=24, num_attention_heads=6, num_key_value_heads=3)
    one, other = (make_training(shape, model=model) for shape in ((1, 1), (1, 4, 2)))
    assert_bit_equal(jax.device_get(one.weights().tree), jax.device_get(other.weights().tree))
    losses = [
        float(each.step(batch_of(0), cross_entropy).statistics["train/loss"][0]) for each in (one, other)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)

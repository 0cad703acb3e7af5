"""bfloat16: gradients over thousands of tokens as good as row by row, masters as good as those in fp32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from burnish.llm import rounding
from burnish.llm.config.family import Qwen2
from burnish.llm.families import broadcast
from burnish.llm.families.protocol import FamilyContext
from burnish.llm.logprobs import linear_logprobs
from burnish.llm.objective import cross_entropy
from burnish.llm.testing import tiny_qwen2_config
from burnish.llm.train_step import compiled_step

ROWS, LENGTH = 32, 256
BOUND = 0.02
"""Largest error of a leaf's gradient against fp32, relative to its norm."""


@pytest.fixture(params=["tied", "untied"])
def model(request):
    config = tiny_qwen2_config(260, tie_word_embeddings=request.param == "tied")
    return Qwen2().build(FamilyContext(hf_config=config))


def gradient(model, params, dtype, micro_batch_rows):
    """Return the gradient of the mean cross-entropy, summed over micro-batches in fp32."""
    tokens = np.random.default_rng(0).integers(0, 260, (ROWS, LENGTH), dtype=np.int32)
    positions = np.tile(np.arange(LENGTH, dtype=np.int32), (micro_batch_rows, 1))

    @jax.jit
    @jax.grad
    def of_rows(params, rows):
        hidden = model.forward(params, rows, positions, jnp.ones_like(rows)).hidden
        logprobs = linear_logprobs(hidden[:, :-1], model.head(params), rows[:, 1:]).logprob
        return -jnp.sum(logprobs) / (ROWS * (LENGTH - 1))

    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params)
    cuts = range(0, ROWS, micro_batch_rows)
    parts = [of_rows(params, tokens[cut : cut + micro_batch_rows]) for cut in cuts]
    return jax.tree.map(lambda *leaves: sum(np.asarray(leaf, np.float32) for leaf in leaves), *parts)


@pytest.fixture
def errors(model):
    """Return a function to the error of each leaf, by the rows of a micro-batch."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf.astype(jnp.bfloat16), np.float32), model.init(0))
    exact = gradient(model, params, jnp.float32, ROWS)

    def of_leaves(micro_batch_rows):
        found = gradient(model, params, jnp.bfloat16, micro_batch_rows)
        error = jax.tree.map(lambda a, b: np.linalg.norm(a - b) / np.linalg.norm(b), found, exact)
        leaves = jax.tree_util.tree_leaves_with_path(error)
        return {jax.tree_util.keystr(path, simple=True, separator="/"): float(leaf) for path, leaf in leaves}

    return of_leaves


@pytest.mark.parametrize("micro_batch_rows", [1, ROWS])
def test_each_leaf_has_the_gradient_of_fp32(errors, micro_batch_rows):
    found = errors(micro_batch_rows)
    assert max(found.values()) < BOUND, found


def test_twin_sums_in_bfloat16_lose_what_many_rows_add(errors, monkeypatch):
    monkeypatch.setattr(broadcast, "embed", lambda table, tokens: table[tokens])
    monkeypatch.setattr(broadcast, "shift", lambda values, bias: values + bias[None, None])
    monkeypatch.setattr(broadcast, "scale", lambda values, factors: values * factors[None, None])
    found = errors(ROWS)
    lost = {name for name, error in found.items() if error > BOUND}
    assert {"layers/attention/value_bias", "layers/attention_norm", "layers/mlp_norm"} <= lost, found


def test_rounding_by_chance_keeps_the_mean_and_what_is_exact():
    exact = jnp.array([0.0, -1.0, 1.5, 3e38], jnp.bfloat16).astype(jnp.float32)
    for seed in range(4):
        assert (rounding.round_by_chance(jax.random.key(seed), exact) == exact).all()
    value = jnp.full(200_000, 1.0 + 2.0**-9 / 3)
    rounded = rounding.round_by_chance(jax.random.key(0), value).astype(jnp.float32)
    assert set(np.unique(rounded).tolist()) == {1.0, 1.0 + 2.0**-7}
    spread = 2.0**-7 * np.sqrt((1 / 12) * (11 / 12) / value.size)
    assert abs(np.asarray(rounded).mean(dtype=np.float64) - float(value[0])) < 5 * spread


@pytest.fixture
def loss_after(make_training, batch_of):
    """Return a function to the first and the last loss of 200 small steps on one batch."""

    def train(param_dtype):
        training, batch = make_training(dtypes=(param_dtype, "float32")), batch_of()
        losses = [
            training.step(batch, cross_entropy, hyper={"learning_rate": 3e-5}).statistics["train/loss"][0]
            for _ in range(200)
        ]
        return float(losses[0]), float(losses[-1])

    return train


def test_masters_in_bfloat16_learn_what_those_in_fp32_learn(loss_after):
    begun, exact = loss_after("float32")
    _, found = loss_after("bfloat16")
    assert abs(found / exact - 1) < 0.02
    assert begun / exact - 1 > 0.1, "there is something to learn"


def test_twin_masters_rounded_to_the_nearest_stay_behind(loss_after, monkeypatch):
    monkeypatch.setattr(rounding, "round_by_chance", lambda _, values: values.astype(jnp.bfloat16))
    compiled_step.cache_clear()
    _, exact = loss_after("float32")
    _, found = loss_after("bfloat16")
    compiled_step.cache_clear()
    assert found / exact - 1 > 0.1


def test_moments_of_bfloat16_masters_are_fp32(make_training):
    trees = make_training(dtypes=("bfloat16", "bfloat16")).save_state().trees
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(trees["params"])} == {"bfloat16"}
    moments = [leaf for name, leaf in trees["optimizer"].items() if ".mu." in name or ".nu." in name]
    assert {str(leaf.dtype) for leaf in moments} == {"float32"}
